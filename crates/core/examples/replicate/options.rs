//! The command line, and what it means to the library.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::{CommandFactory, Parser, ValueEnum};
use libmigrate::schedule::Schedule;
use libmigrate::secret::Secret;
use libmigrate::target::azure::{AzureOptions, AzurePageBlob, Credential};
use libmigrate::target::local::LocalTarget;
use libmigrate::{EngineOptions, Error, PageTarget, RequestCost, RequestedKind};

use crate::network::RouteOptions;
use crate::source::SourceOptions;

/// Replicates a disk into an Azure page blob or a local folder. Without arguments: a demonstration.
///
/// Run the same command again to go on after an interruption, or to send what changed since.
#[derive(Clone, Debug, Parser)]
#[command(name = "replicate", version)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) source: SourceOptions,
    /// Where the replica goes: a path, or the https URL of a page blob. The credential comes from the
    /// environment: a SAS in `AZURE_STORAGE_SAS_TOKEN`, or `AZURE_STORAGE_CONNECTION_STRING`. A SAS in the URL
    /// works too, but every user of this machine can see it.
    #[arg(long, value_name = "PATH-or-URL")]
    pub(crate) target: Option<String>,
    #[command(flatten)]
    pub(crate) route: RouteOptions,
    /// Folder for checkpoints [default: $`XDG_STATE_HOME/libmigrate` or ~/.local/state/libmigrate].
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Keep no checkpoint on disk: an interrupted run is rebuilt from the target.
    #[arg(long, conflicts_with = "state")]
    pub(crate) no_state: bool,
    /// Most bytes per second to send, such as 800K, 50M or 1G.
    #[arg(long, value_name = "RATE", value_parser = parse_size)]
    pub(crate) throttle: Option<u64>,
    /// A JSON file of times at which another limit holds, or nothing but a final pass is sent.
    #[arg(long, value_name = "FILE", value_parser = read_schedule)]
    pub(crate) schedule: Option<Schedule>,
    /// Compare the target with the source afterwards.
    #[arg(long, value_name = "HOW", num_args = 0..=1, default_missing_value = "full")]
    pub(crate) verify: Option<VerifyChoice>,
    /// Write the proof of the new recovery point to a file, for `docs/check_proof.py`.
    #[arg(long, value_name = "FILE", requires = "source")]
    pub(crate) export_proof: Option<PathBuf>,
    /// Print events and results as JSON, one object a line.
    #[arg(long)]
    pub(crate) json: bool,
    /// Kind of pass.
    #[arg(long, value_enum, default_value = "delta")]
    pub(crate) kind: Kind,
    /// Limit on buffers, such as 64M.
    #[arg(long, value_name = "BYTES", value_parser = parse_size, default_value = "256M")]
    pub(crate) memory: u64,
    /// Unit of diffing of a new replica, such as 4K [default: by disk size, from 64K].
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    pub(crate) block: Option<u64>,
    /// Longest read and put.
    #[arg(long, value_name = "BYTES", value_parser = parse_size, default_value = "1M")]
    pub(crate) run: u64,
    /// The most requests under way at once.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(crate) requests: usize,
    /// Send small gaps of unchanged data along where that saves requests: what pays on a standard page blob.
    #[arg(long)]
    pub(crate) bridge: bool,
}

/// Kinds of pass.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Kind {
    /// What changed; everything, the first time.
    Delta,
    /// The delta before cutover.
    Final,
    /// Read the target back and compare everything.
    Resync,
}

impl From<Kind> for RequestedKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Delta => Self::Delta,
            Kind::Final => Self::Final,
            Kind::Resync => Self::Resync,
        }
    }
}

/// How to verify.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum VerifyChoice {
    /// Every block.
    Full,
    /// Enough random blocks that damage to one in a thousand is missed with a probability of 0.001.
    Sample,
}

/// Where the connection string is.
const CONNECTION_STRING: &str = "AZURE_STORAGE_CONNECTION_STRING";

impl Options {
    /// The command line; one that makes no sense ends the program, without repeating a secret.
    pub(crate) fn read() -> Self {
        let parsed = Self::try_parse().and_then(|options| {
            let purpose = options.source.source.is_some() || options.route.preflight;
            if options.target.is_some() && !purpose {
                let problem = "--target needs --source, or --preflight";
                return Err(Self::command().error(clap::error::ErrorKind::MissingRequiredArgument, problem));
            }
            Ok(options)
        });
        parsed.unwrap_or_else(|error| {
            let text = error.render().to_string();
            let arguments = std::env::args_os().filter_map(|argument| argument.into_string().ok());
            let secrets = arguments.filter(|argument| argument.contains("sig="));
            let text = secrets.fold(text, |text, secret| text.replace(&secret, "(an argument with a SAS)"));
            if error.use_stderr() {
                eprint!("{text}");
            } else {
                print!("{text}");
            }
            std::process::exit(error.exit_code())
        })
    }

    /// Where checkpoints go.
    pub(crate) fn state_dir(&self) -> Option<PathBuf> {
        if self.no_state {
            return None;
        }
        let home = || std::env::home_dir().unwrap_or_default().join(".local/state");
        let default = || std::env::var_os("XDG_STATE_HOME").map_or_else(home, PathBuf::from).join("libmigrate");
        Some(self.state.clone().unwrap_or_else(default))
    }

    /// Options of the engine.
    pub(crate) fn engine(&self, state_dir: Option<PathBuf>) -> EngineOptions {
        EngineOptions {
            state_dir,
            memory_limit: self.memory,
            requests_in_flight: self.requests,
            run_bytes: self.run,
            bytes_per_second: self.throttle,
            schedule: self.schedule.clone(),
            block_size: self.block.and_then(libmigrate::size::BlockSize::new),
            request_cost: if self.bridge { RequestCost::STANDARD_PAGE_BLOB } else { RequestCost::Negligible },
            ..EngineOptions::default()
        }
    }

    /// The target that was named.
    pub(crate) fn target(&self, named: &str) -> anyhow::Result<Arc<dyn PageTarget>> {
        if !is_url(named) {
            return Ok(Arc::new(LocalTarget::new(Path::new(named)).map_err(Error::from)?));
        }
        Ok(Arc::new(self.page_blob(named)?))
    }

    /// The page blob that was named.
    pub(crate) fn page_blob(&self, named: &str) -> anyhow::Result<AzurePageBlob> {
        ensure!(is_url(named), "the target is no URL of a page blob");
        let credential = match (std::env::var("AZURE_STORAGE_SAS_TOKEN"), std::env::var(CONNECTION_STRING)) {
            _ if named.contains("sig=") => {
                eprintln!(
                    "warning: every user of this machine can see the SAS in the URL; put it into AZURE_STORAGE_SAS_TOKEN"
                );
                Credential::SasUrl
            }
            (Ok(signature), _) => Credential::Sas(Secret::new(signature)),
            (_, Ok(text)) => Credential::from_connection_string(&text).map_err(Error::from)?,
            _ => bail!("the URL has no SAS, and neither AZURE_STORAGE_SAS_TOKEN nor {CONNECTION_STRING} is set"),
        };
        let options = AzureOptions {
            max_in_flight: self.requests,
            private_link: self.route.private_link(),
            extra_certificates_pem: self.route.extra_certificates()?,
            ..AzureOptions::default()
        };
        Ok(AzurePageBlob::new(named, credential, options).map_err(Error::from)?)
    }
}

fn is_url(named: &str) -> bool {
    named.starts_with("http://") || named.starts_with("https://")
}

fn read_schedule(path: &str) -> anyhow::Result<Schedule> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(Schedule::from_json(&text).map_err(Error::from)?)
}

fn parse_size(text: &str) -> anyhow::Result<u64> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 20),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().context("expected a number with K, M or G")?;
    number.checked_mul(1 << shift).context("too large")
}
