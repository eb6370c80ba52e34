//! The control API of a running VM: HTTP and JSON over a Unix socket.
//!
//! [`api`] is the words, [`router`] what each request does, [`server`] the socket and its limits,
//! [`client`] the other end. Everything about a GPU goes through what it is to its operator
//! ([`administered`]), which takes no address: whoever may connect can watch and reset, and read nothing of the guest's.
//! Who may connect is for the socket's file mode to say ([`runtime`](crate::runtime)).

pub mod administered;
pub mod api;
pub mod client;
pub mod router;
pub mod server;
