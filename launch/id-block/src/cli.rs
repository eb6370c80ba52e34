//! The command line of `ravelin image sign` and `ravelin image check`.
//!
//! Exit status: 0 done or good, 2 the command line or a file is not understood, 3 the id block would not
//! start the guest.

use crate::signing::{self, Refused};
use clap::{Args, Parser, Subcommand};
use ravelin_launch::id_block::{AUTH_SIZE, BLOCK_SIZE, IdBlock, Signed};
use ravelin_launch::{DEFAULT_POLICY, Image, igvm};
use serde::Serialize;
use std::error::Error as _;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const SCHEMA: &str = "ravelin.id-block/1";
const NOT_UNDERSTOOD: u8 = 2;
const REFUSED: u8 = 3;

/// Signs and checks the id blocks of SNP guests.
///
/// Exit status: 0 done or good, 2 the command line or a file is not understood, 3 the id block would not
/// start the guest.
#[derive(Debug, Parser)]
#[command(name = "ravelin-id-block", bin_name = "ravelin image", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sign an id block for an image, as its owner
    ///
    /// Firmware then starts the guest under this name only if its launch digest is the image's, and its
    /// reports carry the digests of the keys. Make keys with `openssl genpkey -algorithm EC -pkeyopt
    /// ec_paramgen_curve:P-384`.
    Sign(Sign),
    /// Check an image's id block as firmware would
    Check(Check),
}

#[derive(Debug, Args)]
struct Sign {
    /// The image
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "digest",
        conflicts_with = "digest"
    )]
    igvm: Option<PathBuf>,
    /// A launch digest instead of an image, from `ravelin image measure`: 96 hexadecimal digits
    #[arg(long, value_name = "HEX")]
    digest: Option<Hex<48>>,
    /// The id key: P-384, PKCS #8 in PEM, readable by you alone
    #[arg(long, value_name = "FILE")]
    id_key: PathBuf,
    /// A key that vouches for the id key
    #[arg(long, value_name = "FILE")]
    author_key: Option<PathBuf>,
    /// FAMILY_ID, yours to choose
    #[arg(long, value_name = "HEX", default_value = "00000000000000000000000000000000")]
    family_id: Hex<16>,
    /// IMAGE_ID, yours to choose
    #[arg(long, value_name = "HEX", default_value = "00000000000000000000000000000000")]
    image_id: Hex<16>,
    /// GUEST_SVN: raise it when an image closes a hole
    #[arg(long, value_name = "N", default_value_t = 0)]
    guest_svn: u32,
    /// The policy, with --digest [default: 0x30000; an image brings its own]
    #[arg(long, value_name = "HEX", value_parser = policy, conflicts_with = "igvm")]
    policy: Option<u64>,
    /// The image with the id block in it
    #[arg(long, value_name = "FILE", requires = "igvm", required_unless_present = "id_block")]
    output: Option<PathBuf>,
    /// The id block by itself: 96 bytes
    #[arg(long, value_name = "FILE", requires = "id_auth")]
    id_block: Option<PathBuf>,
    /// Its keys and signatures: 4096 bytes
    #[arg(long, value_name = "FILE", requires = "id_block")]
    id_auth: Option<PathBuf>,
    /// Print one JSON object (schema "ravelin.id-block/1") on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Check {
    /// The image, with its id block or for one in files
    #[arg(long, value_name = "FILE", required_unless_present = "id_block")]
    igvm: Option<PathBuf>,
    /// An id block by itself
    #[arg(long, value_name = "FILE", requires = "id_auth")]
    id_block: Option<PathBuf>,
    /// Its keys and signatures
    #[arg(long, value_name = "FILE", requires = "id_block")]
    id_auth: Option<PathBuf>,
    /// The launch digest that it must be for
    #[arg(long, value_name = "HEX")]
    digest: Option<Hex<48>>,
    /// ID_KEY_DIGEST that the id key must have
    #[arg(long, value_name = "HEX")]
    id_key_digest: Option<Hex<48>>,
    /// AUTHOR_KEY_DIGEST that the author key must have
    #[arg(long, value_name = "HEX")]
    author_key_digest: Option<Hex<48>>,
    /// Print one JSON object (schema "ravelin.id-block/1") on standard output
    #[arg(long)]
    json: bool,
}

/// So many bytes in hexadecimal.
#[derive(Clone, Copy, Debug)]
struct Hex<const N: usize>([u8; N]);

impl<const N: usize> std::str::FromStr for Hex<N> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = [0; N];
        hex::decode_to_slice(text, &mut bytes)
            .map(|()| Hex(bytes))
            .map_err(|_| format!("write {} hexadecimal digits", 2 * N))
    }
}

fn policy(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).map_err(|_| "write hexadecimal digits, such as 0x30000".into())
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Key(#[from] ravelin_key_file::Error),
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("cannot write {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
    #[error("{} is no image", .0.display())]
    Image(PathBuf, #[source] igvm::Error),
    #[error("the image cannot be written")]
    Unwritable(#[source] igvm::Error),
    #[error("{} and {} are no id block (96 bytes) and its signatures (4096 bytes)", .0.display(), .1.display())]
    NoBlock(PathBuf, PathBuf),
    #[error("{} has no id block: sign it with `ravelin image sign`", .0.display())]
    Unsigned(PathBuf),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the id key is another one: its digest is {0}")]
    OtherIdKey(String),
    #[error("the author key is another one: its digest is {0}")]
    OtherAuthor(String),
}

impl Error {
    fn exit_code(&self) -> u8 {
        match self {
            Error::Refused(_)
            | Error::OtherIdKey(_)
            | Error::OtherAuthor(_)
            | Error::Unsigned(_) => REFUSED,
            _ => NOT_UNDERSTOOD,
        }
    }
}

/// What was signed or checked.
#[derive(Serialize)]
struct Outcome {
    schema: &'static str,
    /// The launch digest.
    measurement: String,
    family_id: String,
    image_id: String,
    guest_svn: u32,
    policy: String,
    /// ID_KEY_DIGEST of reports.
    id_key_digest: String,
    /// AUTHOR_KEY_DIGEST of reports.
    author_key_digest: Option<String>,
    result: &'static str,
}

/// Runs the program.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Arguments { command } = Arguments::parse_from(words);
    let (done, json, word) = match &command {
        Command::Sign(arguments) => (sign(arguments), arguments.json, "signed"),
        Command::Check(arguments) => (check(arguments), arguments.json, "good"),
    };
    match done {
        Ok(signed) => {
            show(&signed, json, word);
            ExitCode::SUCCESS
        }
        Err(error) => {
            let mut text = format!("ravelin: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                text += &format!(": {cause}");
                source = cause.source();
            }
            eprintln!("{text}");
            error.exit_code().into()
        }
    }
}

fn sign(arguments: &Sign) -> Result<Signed, Error> {
    let id_key = ravelin_key_file::read(&arguments.id_key)?;
    let author = arguments.author_key.as_deref().map(ravelin_key_file::read).transpose()?;
    let mut image = arguments.igvm.as_deref().map(read_image).transpose()?;
    let (digest, policy) = match (&image, arguments.digest) {
        (Some(image), _) => (image.digest(), image.policy),
        (None, digest) => {
            let policy = arguments.policy.unwrap_or(DEFAULT_POLICY);
            (digest.map_or([0; 48], |digest| digest.0), policy)
        }
    };
    let block = IdBlock {
        digest,
        family_id: arguments.family_id.0,
        image_id: arguments.image_id.0,
        guest_svn: arguments.guest_svn,
        policy,
    };
    let signed = signing::sign(block, &id_key, author.as_ref());
    // Once as firmware sees it: a fault of the machine's must not leave this desk.
    signing::check(&signed)?;
    if let (Some(image), Some(output)) = (&mut image, &arguments.output) {
        image.id_block = Some(Box::new(signed.clone()));
        let file = igvm::write(image).map_err(Error::Unwritable)?;
        write(output, &file)?;
    }
    if let (Some(block), Some(auth)) = (&arguments.id_block, &arguments.id_auth) {
        write(block, &signed.block.encode())?;
        write(auth, &signed.encode_auth())?;
    }
    Ok(signed)
}

fn check(arguments: &Check) -> Result<Signed, Error> {
    let image = arguments.igvm.as_deref().map(read_image).transpose()?;
    let signed = match (&arguments.id_block, &arguments.id_auth) {
        (Some(block), Some(auth)) => read_block(block, auth)?,
        _ => {
            let own = image.as_ref().and_then(|image| image.id_block.as_deref().cloned());
            own.ok_or_else(|| Error::Unsigned(arguments.igvm.clone().unwrap_or_default()))?
        }
    };
    signing::check(&signed)?;
    if let Some(image) = &image {
        signing::check_guest(&signed.block, &image.digest(), image.policy)?;
    }
    if let Some(Hex(digest)) = &arguments.digest {
        signing::check_guest(&signed.block, digest, signed.block.policy)?;
    }
    if arguments.id_key_digest.is_some_and(|expected| expected.0 != signed.key.digest()) {
        return Err(Error::OtherIdKey(hex::encode(signed.key.digest())));
    }
    let author = signed.author.map(|(author, _)| author.digest());
    if arguments.author_key_digest.is_some_and(|expected| Some(expected.0) != author) {
        let author = author.map_or("absent".into(), hex::encode);
        return Err(Error::OtherAuthor(author));
    }
    Ok(signed)
}

fn read_image(path: &Path) -> Result<Image, Error> {
    let bytes = std::fs::read(path).map_err(|error| Error::Read(path.into(), error))?;
    igvm::read(&bytes).map_err(|error| Error::Image(path.into(), error))
}

fn read_block(block: &Path, auth: &Path) -> Result<Signed, Error> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| Error::Read(path.into(), error));
    let none = || Error::NoBlock(block.into(), auth.into());
    let block_bytes: [u8; BLOCK_SIZE] = read(block)?.try_into().map_err(|_| none())?;
    let auth_bytes: [u8; AUTH_SIZE] = read(auth)?.try_into().map_err(|_| none())?;
    Signed::decode(&block_bytes, &auth_bytes).ok_or_else(none)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    std::fs::write(path, bytes).map_err(|error| Error::Write(path.into(), error))
}

fn show(signed: &Signed, json: bool, word: &'static str) {
    let Signed { block, key, author, .. } = signed;
    let outcome = Outcome {
        schema: SCHEMA,
        measurement: hex::encode(block.digest),
        family_id: hex::encode(block.family_id),
        image_id: hex::encode(block.image_id),
        guest_svn: block.guest_svn,
        policy: format!("{:#x}", block.policy),
        id_key_digest: hex::encode(key.digest()),
        author_key_digest: author.map(|(author, _)| hex::encode(author.digest())),
        result: "ok",
    };
    if json {
        match serde_json::to_string(&outcome) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("ravelin: {error}"),
        }
        return;
    }
    println!("id block     {word}");
    println!("measurement  {}", outcome.measurement);
    println!("id key       {}", outcome.id_key_digest);
    if let Some(author) = &outcome.author_key_digest {
        println!("author key   {author}");
    }
}
