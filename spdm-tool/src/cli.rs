//! The command line: arguments in; an explanation, a result or JSON, and an exit code out.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Parser, ValueEnum};
use ravelin_spdm::Message;
use ravelin_spdm::measurements::{Block, Value};
use ravelin_spdm::transport::carrier::Transport;
use ravelin_spdm_capture::{LinkType, Writer};

use crate::connection::{Carried, Connection};
use crate::conversation::{self, Direction, Learned, Listener, Request};
use crate::explain::{self, Explainer};
use crate::outcome::{Report, Result, TABLE, version};
use crate::question::{BEFORE, Before, IN_SESSION, InSession, Versions};
use crate::trust::{self, Root};

/// Speaks SPDM to a responder: a session with signed measurements, under a key that a pinned root
/// vouches for.
///
/// Any responder behind the socket framing of the DMTF's emulators will do, `ravelin gpu-server`
/// among them.
#[derive(Parser)]
#[command(
    name = "ravelin-spdm",
    bin_name = "ravelin spdm",
    disable_version_flag = true,
    arg_required_else_help = true,
    after_help = TABLE
)]
struct Arguments {
    /// Where the responder listens; the emulators' port is 2323
    #[arg(long, value_name = "HOST:PORT")]
    connect: String,
    /// What carries SPDM
    #[arg(long, value_enum, default_value_t)]
    transport: TransportChoice,
    /// The version to speak, 1.1, 1.2 or 1.3, or a range of them: the highest that the responder
    /// speaks is taken. 1.1 signs less and has to be asked for
    #[arg(long, value_name = "VERSION", default_value = "1.2-1.3")]
    version: Versions,
    /// Ask this in clear before the session, too; may be repeated. A challenge always comes first
    #[arg(long, value_name = BEFORE)]
    before: Vec<Before>,
    /// Ask this in the session, after the signed measurements that are always asked for; may be
    /// repeated, and is asked in that order
    #[arg(long, value_name = IN_SESSION)]
    ask: Vec<InSession>,
    /// Slot of the certificate chain to prove
    #[arg(long, value_name = "0..7", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..8))]
    slot: u8,
    /// The root to pin (X.509, DER or PEM); the development maker's by default, which signs for
    /// `ravelin gpu-server`
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// Write what goes over the wire to a capture for DMTF's spdm_dump
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Print each message, field by field (with --json on standard error)
    #[arg(long)]
    explain: bool,
    /// Print one JSON object (schema "ravelin.spdm/1")
    #[arg(long)]
    json: bool,
    /// Part with CONTINUE, so that the emulators' responder waits for the next requester
    #[arg(long)]
    leave_running: bool,
}

/// What carries SPDM.
#[derive(Clone, Copy, Default, ValueEnum)]
enum TransportChoice {
    /// PCIe data objects
    #[default]
    Doe,
    /// MCTP messages
    Mctp,
    /// Nothing: messages as they are
    None,
}

/// Why nothing was tried.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Root(#[from] trust::Error),
    #[error("--pcap")]
    Capture(#[from] ravelin_spdm_capture::Error),
}

/// Runs the command that these words say, the program's name first.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Refusals have 2, which is clap's code otherwise.
            let code = if error.use_stderr() { 3 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match run(&arguments) {
        Ok(result) => result.exit_code(),
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {}", in_one_line(&error));
            Result::CouldNotTalk("").exit_code()
        }
    }
}

fn run(arguments: &Arguments) -> std::result::Result<Result, Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let root = match &arguments.root {
        Some(path) => Root::read(path, now)?,
        None => Root::development(now)?,
    };
    let transport = arguments.transport.into();
    let capture = arguments.pcap.as_ref().map(|path| Writer::create(path, link_type(transport)));
    let mut audience = Audience {
        capture: capture.transpose()?,
        explainer: arguments.explain.then(|| Explainer::new(transport.framing())),
        aside: arguments.json,
        messages: 0,
    };
    let request = Request {
        versions: arguments.version.clone(),
        slot: arguments.slot,
        before: arguments.before.clone(),
        asks: arguments.ask.clone(),
    };
    let outcome = Connection::open(&arguments.connect, transport)
        .map_err(conversation::Error::from)
        .and_then(|mut connection| {
            let learned = conversation::hold(&mut connection, &request, &root, &mut audience);
            // The emulators' responder would wait for more of a requester that is just gone.
            if !matches!(learned, Err(conversation::Error::Connection(_))) {
                connection.part(!arguments.leave_running);
            }
            learned
        });
    let result = outcome.as_ref().map_or_else(Result::from, |_| Result::Trusted);
    let problem = outcome.as_ref().err().map(|error| in_one_line(error));
    if arguments.json {
        let report = Report::new(
            &arguments.connect,
            transport,
            audience.messages,
            result,
            problem.clone(),
            outcome.as_ref().ok(),
        );
        if let Ok(text) = serde_json::to_string_pretty(&report) {
            let _ = writeln!(io::stdout(), "{text}");
        }
    } else if let Ok(learned) = &outcome {
        let _ = io::stdout().write_all(summary(learned, audience.messages).as_bytes());
    }
    if let Some(problem) = problem {
        let word = if matches!(result, Result::Refused(_)) { "refused" } else { "error" };
        let _ = writeln!(io::stderr(), "{word}: {} ({problem})", result.code());
    }
    Ok(result)
}

/// What a session has shown, for a person.
fn summary(learned: &Learned, messages: usize) -> String {
    let mut lines = vec![format!(
        "SPDM {}: session {:#010x} established and ended, {messages} messages",
        version(learned.version),
        learned.session,
    )];
    lines.push(format!(
        "trusted: {} certificates, root {}",
        learned.chain.certificates().count(),
        hex::encode(learned.chain.root_digest()),
    ));
    lines.extend(learned.measurements.iter().map(measurement));
    for answer in &learned.answers {
        let place = if answer.in_session { "in the session" } else { "before it" };
        let told = match &answer.measurements {
            Some(told) if told.blocks.is_empty() => format!("{} there are", told.count),
            Some(told) => format!("{} told", told.blocks.len()),
            None => "answered".to_owned(),
        };
        lines.push(format!("{} {place}: {told}", answer.question));
        let blocks = answer.measurements.iter().flat_map(|told| &told.blocks);
        lines.extend(blocks.map(|block| format!("  {}", measurement(block))));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn measurement(block: &Block) -> String {
    let form = match block.value {
        Value::Digest(_) => "digest",
        Value::Raw(_) => "raw",
    };
    format!(
        "measurement {:3}  {:24} {form:6} {}",
        block.index,
        explain::value_type(block.value_type as u8),
        hex::encode(block.value.as_bytes()),
    )
}

/// An error and its causes.
fn in_one_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}

fn link_type(transport: Transport) -> LinkType {
    match transport {
        Transport::Doe => LinkType::Doe,
        Transport::Mctp => LinkType::Mctp,
        Transport::None => LinkType::Plain,
    }
}

impl From<TransportChoice> for Transport {
    fn from(choice: TransportChoice) -> Transport {
        match choice {
            TransportChoice::Doe => Transport::Doe,
            TransportChoice::Mctp => Transport::Mctp,
            TransportChoice::None => Transport::None,
        }
    }
}

/// Who wants to know what is said: the capture, the reader of the explanation, the count.
struct Audience {
    capture: Option<Writer<File>>,
    explainer: Option<Explainer>,
    /// Whether the explanation goes to standard error.
    aside: bool,
    messages: usize,
}

impl Audience {
    fn print(&self, text: &str) {
        let _ = match self.aside {
            true => io::stderr().write_all(text.as_bytes()),
            false => io::stdout().write_all(text.as_bytes()),
        };
    }
}

impl Listener for Audience {
    fn carried(&mut self, carried: &Carried) {
        let Some(capture) = &mut self.capture else { return };
        if let Err(error) =
            capture.add(&carried.request).and_then(|()| capture.add(&carried.response))
        {
            self.capture = None;
            let line = in_one_line(&error);
            let _ = writeln!(io::stderr(), "warning: the capture ends here: {line}");
        }
    }

    fn message(&mut self, direction: Direction, message: &Message) {
        self.messages += 1;
        if let Some(explainer) = &mut self.explainer {
            let text = explainer.explain(direction, message);
            self.print(&text);
        }
    }

    fn opened(&mut self, direction: Direction, message: &[u8]) {
        if let Some(explainer) = &mut self.explainer {
            let text = explainer.explain_opened(direction, message);
            self.print(&text);
        }
    }
}
