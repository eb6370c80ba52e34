//! The room `launch`: kernels, many in flight, obeyed in the order given.

use alloc::vec;
use alloc::vec::Vec;

use ravelin_gpu_abi::command::{COMMAND_SIZE, Command, REPLY_SIZE, Reply};
use ravelin_gpu_abi::ring::Outcome;

use crate::pump::Work;
use crate::ring::Request;

/// Commands on their way, and their replies.
pub(crate) struct Launches {
    commands: Vec<[u8; COMMAND_SIZE]>,
    answers: Vec<[u8; REPLY_SIZE]>,
    /// Replies so far; `None` where an authentic reply says nothing that the driver knows.
    pub(crate) replies: Vec<Option<Reply>>,
}

impl Launches {
    pub(crate) fn new(commands: &[Command]) -> Launches {
        Launches {
            commands: commands.iter().map(Command::encode).collect(),
            answers: vec![[0; REPLY_SIZE]; commands.len()],
            replies: Vec::with_capacity(commands.len()),
        }
    }
}

impl Work for Launches {
    fn count(&self) -> usize {
        self.commands.len()
    }

    fn request(&self, index: usize) -> Request<'_> {
        let bytes = self.commands.get(index).map_or(&[][..], |command| &command[..]);
        Request { hbm_address: 0, length: bytes.len() as u32, bytes }
    }

    fn answer(&mut self, index: usize) -> &mut [u8] {
        self.answers.get_mut(index).map_or(&mut [][..], |answer| &mut answer[..])
    }

    fn settle(&mut self, index: usize, _: Outcome) -> bool {
        // The reply says all that the outcome says, and more.
        let reply = self.answers.get(index).and_then(|answer| Reply::decode(answer));
        self.replies.push(reply);
        reply == Some(Reply::Done)
    }
}
