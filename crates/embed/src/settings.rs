//! What comes in as JSON. Unknown fields are refused: a setting that is misspelt must not be taken for none.
//!
//! No message of these repeats a string of the settings, which may be a secret in the wrong place.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use libmigrate::extent::Extent;
use libmigrate::preflight::{NetworkOptions, NetworkTarget};
use libmigrate::private_link::{AddressRule, PrivateLink, Resolver};
use libmigrate::schedule::Schedule;
use libmigrate::secret::Secret;
use libmigrate::size::BlockSize;
use libmigrate::source::{ChangeId, ChangeList, Format};
use libmigrate::target::azure::{AzureOptions, Proxy};
use libmigrate::{
    Concurrency, Consistency, Coverage, CycleRequest, EngineOptions, KeepRule, RequestCost, RequestedKind, RetryPolicy,
    Subject,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use url::Url;

use crate::failure::{CallError, Failure};
use crate::source::{Source, read_file};

/// What something of ours is as JSON.
pub(crate) fn text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("what is reported has text keys and finite numbers")
}

/// Reads a JSON object; an empty text is an empty one.
pub(crate) fn parse<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, Failure> {
    read(what, Value::Object(object(what, text)?))
}

fn object(what: &'static str, text: &str) -> Result<Map<String, Value>, Failure> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(CallError::argument(what, "it is no JSON object").into()),
        Err(e) => Err(CallError::argument(what, format!("it is no JSON: {e}")).into()),
    }
}

fn read<T: DeserializeOwned>(what: &'static str, value: Value) -> Result<T, Failure> {
    serde_path_to_error::deserialize(value).map_err(|e| {
        let path = e.path().to_string();
        let named = if path == "." { what.to_owned() } else { format!("{what}.{path}") };
        CallError::argument(named, without_strings(&e.into_inner().to_string())).into()
    })
}

/// `message` without what it quotes of the settings.
fn without_strings(message: &str) -> String {
    match (message.find('"'), message.rfind('"')) {
        (Some(first), Some(last)) if first < last => format!("{}…{}", &message[..first], &message[last + 1..]),
        _ => message.to_owned(),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EngineSettings {
    state_dir: Option<PathBuf>,
    memory_limit: Option<u64>,
    requests_in_flight: Option<usize>,
    requests_in_flight_in_all: Option<usize>,
    concurrency: ConcurrencyName,
    readers: Option<usize>,
    run_bytes: Option<u64>,
    block_size: Option<u64>,
    bytes_per_second: Option<u64>,
    schedule: Option<Value>,
    bridge_gaps: bool,
    retry: RetrySettings,
    lease_seconds: Option<u64>,
    threads: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ConcurrencyName {
    #[default]
    Adaptive,
    Fixed,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RetrySettings {
    first_wait_ms: Option<u64>,
    longest_wait_ms: Option<u64>,
    budget_seconds: Option<u64>,
}

impl EngineSettings {
    pub(crate) fn threads(&self) -> Result<usize, Failure> {
        match self.threads.unwrap_or(2) {
            threads @ 1..=64 => Ok(threads),
            threads => Err(CallError::argument("engine.threads", format!("{threads} is not within 1 to 64")).into()),
        }
    }

    pub(crate) fn options(self) -> Result<EngineOptions, Failure> {
        let block_size = match self.block_size {
            None => None,
            Some(bytes) => Some(BlockSize::new(bytes).ok_or_else(|| {
                CallError::argument("engine.block_size", format!("{bytes} is no power of two from 4 KiB to 1 MiB"))
            })?),
        };
        let schedule = self.schedule.map(|schedule| Schedule::from_json(&schedule.to_string())).transpose()?;
        let defaults = EngineOptions::default();
        let retry = RetryPolicy {
            first_wait: self.retry.first_wait_ms.map_or(defaults.retry.first_wait, Duration::from_millis),
            longest_wait: self.retry.longest_wait_ms.map_or(defaults.retry.longest_wait, Duration::from_millis),
            budget: self.retry.budget_seconds.map_or(defaults.retry.budget, Duration::from_secs),
        };
        Ok(EngineOptions {
            state_dir: self.state_dir,
            memory_limit: self.memory_limit.unwrap_or(defaults.memory_limit),
            requests_in_flight: self.requests_in_flight.unwrap_or(defaults.requests_in_flight),
            requests_in_flight_in_all: self.requests_in_flight_in_all.unwrap_or(defaults.requests_in_flight_in_all),
            concurrency: match self.concurrency {
                ConcurrencyName::Adaptive => Concurrency::Adaptive,
                ConcurrencyName::Fixed => Concurrency::Fixed,
            },
            readers: self.readers.unwrap_or(defaults.readers),
            run_bytes: self.run_bytes.unwrap_or(defaults.run_bytes),
            request_cost: if self.bridge_gaps { RequestCost::STANDARD_PAGE_BLOB } else { RequestCost::Negligible },
            block_size,
            bytes_per_second: self.bytes_per_second,
            schedule,
            retry,
            lease_term: self.lease_seconds.map_or(defaults.lease_term, Duration::from_secs),
        })
    }
}

/// A disk that the embedding language reads.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiskSettings {
    pub(crate) size_bytes: u64,
    #[serde(default)]
    pub(crate) identity: Option<String>,
    #[serde(default)]
    pub(crate) point: Option<String>,
    #[serde(default)]
    pub(crate) zero: Vec<Extent>,
    #[serde(default = "four")]
    pub(crate) max_in_flight: NonZeroUsize,
}

const fn four() -> NonZeroUsize {
    NonZeroUsize::new(4).expect("four is not zero")
}

/// A disk that is opened here.
#[derive(Debug)]
pub(crate) enum SourceSettings {
    Image(ImageSettings),
    Nbd(NbdSettings),
}

impl SourceSettings {
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let fields = object("source", text)?;
        match (fields.contains_key("path"), fields.contains_key("nbd")) {
            (true, false) => read("source", Value::Object(fields)).map(Self::Image),
            (false, true) => read("source", Value::Object(fields)).map(Self::Nbd),
            _ => Err(CallError::argument("source", "it needs either path or nbd").into()),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImageSettings {
    pub(crate) path: PathBuf,
    #[serde(default)]
    pub(crate) format: FormatName,
    #[serde(default)]
    pub(crate) allow: Vec<PathBuf>,
    #[serde(default)]
    pub(crate) member: Option<String>,
    #[serde(default)]
    pub(crate) snapshot: Option<String>,
    #[serde(default)]
    pub(crate) bitmap: Option<String>,
    #[serde(default)]
    pub(crate) frozen_as: Option<String>,
    #[serde(default)]
    pub(crate) may_change: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FormatName {
    #[default]
    Detect,
    Raw,
    Vhd,
    Vhdx,
    Vmdk,
    Ova,
    Qcow2,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Detect => Self::Detect,
            FormatName::Raw => Self::Raw,
            FormatName::Vhd => Self::Vhd,
            FormatName::Vhdx => Self::Vhdx,
            FormatName::Vmdk => Self::Vmdk,
            FormatName::Ova => Self::Ova,
            FormatName::Qcow2 => Self::Qcow2,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NbdSettings {
    pub(crate) nbd: String,
    #[serde(default)]
    pub(crate) ca_file: Option<PathBuf>,
    #[serde(default)]
    pub(crate) bitmap: Option<String>,
    #[serde(default)]
    pub(crate) identity: Option<String>,
    #[serde(default)]
    pub(crate) max_read_bytes: Option<u32>,
    #[serde(default)]
    pub(crate) frozen_as: Option<String>,
}

/// Where a replica goes.
#[derive(Debug)]
pub(crate) enum TargetSettings {
    Local(LocalSettings),
    Blob(BlobSettings),
}

impl TargetSettings {
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let fields = object("target", text)?;
        match (fields.contains_key("local"), fields.contains_key("url")) {
            (true, false) => read("target", Value::Object(fields)).map(Self::Local),
            (false, true) => read("target", Value::Object(fields)).map(Self::Blob),
            _ => Err(CallError::argument("target", "it needs either local or url").into()),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LocalSettings {
    pub(crate) local: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BlobSettings {
    #[serde(deserialize_with = "secret")]
    url: Secret<String>,
    #[serde(default)]
    pub(crate) credential: Option<CredentialSettings>,
    #[serde(default)]
    private_link: PrivateLinkSettings,
    #[serde(default, deserialize_with = "some_secret")]
    proxy: Option<Secret<String>>,
    #[serde(default)]
    ca_file: Option<PathBuf>,
    #[serde(default)]
    max_in_flight: Option<usize>,
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Secret<String>, D::Error> {
    String::deserialize(from).map(Secret::new)
}

fn some_secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret<String>>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(Secret::new))
}

/// How storage is asked.
#[derive(Debug)]
pub(crate) enum CredentialSettings {
    Sas { sas: Secret<String> },
    ConnectionString { connection_string: Secret<String> },
    Key { account: String, key: Secret<String> },
}

impl<'de> Deserialize<'de> for CredentialSettings {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let wrong = || serde::de::Error::custom("it is none of {sas}, {connection_string}, {account, key}");
        let Value::Object(mut fields) = Value::deserialize(from)? else { return Err(wrong()) };
        let mut take = |name: &str| match fields.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let found = match (take("sas"), take("connection_string"), take("account"), take("key")) {
            (Some(sas), None, None, None) => Self::Sas { sas: Secret::new(sas) },
            (None, Some(text), None, None) => Self::ConnectionString { connection_string: Secret::new(text) },
            (None, None, Some(account), Some(key)) => Self::Key { account, key: Secret::new(key) },
            _ => return Err(wrong()),
        };
        if fields.is_empty() { Ok(found) } else { Err(wrong()) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PrivateLinkSettings {
    required: bool,
    only: Vec<IpAddr>,
    also_private: Vec<IpNet>,
    name_servers: Vec<SocketAddr>,
}

impl Default for PrivateLinkSettings {
    fn default() -> Self {
        Self { required: true, only: Vec::new(), also_private: Vec::new(), name_servers: Vec::new() }
    }
}

impl BlobSettings {
    pub(crate) fn url(&self) -> &str {
        self.url.expose()
    }

    pub(crate) fn options(&self) -> Result<AzureOptions, Failure> {
        let link = &self.private_link;
        let private_link = if link.required {
            let rule = AddressRule { also_private: link.also_private.clone(), only: link.only.clone() };
            PrivateLink::Required { rule, lookup: Arc::new(Resolver::asking(link.name_servers.iter().copied())) }
        } else {
            PrivateLink::NotRequired
        };
        let proxy = proxy(self.proxy.as_ref())?;
        let defaults = AzureOptions::default();
        let ca = self.ca_file.as_deref().map(|path| read_file("target.ca_file", path)).transpose()?;
        Ok(AzureOptions {
            max_in_flight: self.max_in_flight.unwrap_or(defaults.max_in_flight),
            proxy,
            extra_certificates_pem: ca,
            private_link,
            ..defaults
        })
    }
}

fn proxy(named: Option<&Secret<String>>) -> Result<Proxy, Failure> {
    Ok(match named.map(|proxy| proxy.expose().as_str()) {
        None | Some("none") => Proxy::None,
        Some("environment") => Proxy::Environment,
        Some(url) => Proxy::Url(Secret::new(
            Url::parse(url).map_err(|e| CallError::argument("proxy", format!("it is no URL: {e}")))?,
        )),
    })
}

/// How the control plane is reached.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ConnectionSettings {
    #[serde(deserialize_with = "some_secret")]
    proxy: Option<Secret<String>>,
    ca_file: Option<PathBuf>,
}

impl ConnectionSettings {
    pub(crate) fn options(&self) -> Result<AzureOptions, Failure> {
        let ca = self.ca_file.as_deref().map(|path| read_file("connection.ca_file", path)).transpose()?;
        Ok(AzureOptions { proxy: proxy(self.proxy.as_ref())?, extra_certificates_pem: ca, ..AzureOptions::default() })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CycleSettings {
    #[serde(default)]
    kind: KindName,
    #[serde(default)]
    changes: Option<Map<String, Value>>,
    #[serde(default)]
    change_id: Option<String>,
    #[serde(default)]
    moving: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindName {
    #[default]
    Delta,
    Final,
    Resync,
}

/// A change list in the words of who made it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ForeignList {
    format: ListFormat,
    base: ChangeId,
    end: ChangeId,
    #[serde(default)]
    text: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ListFormat {
    Csv,
    Vmware,
    HyperV,
    QemuBitmap,
    Bitmap,
}

impl CycleSettings {
    /// The request for a cycle of `source`.
    pub(crate) fn request(self, source: &Source) -> Result<CycleRequest, Failure> {
        let changes = self.changes.map(|changes| change_list(changes, source)).transpose()?;
        Ok(CycleRequest {
            kind: match self.kind {
                KindName::Delta => RequestedKind::Delta,
                KindName::Final => RequestedKind::Final,
                KindName::Resync => RequestedKind::Resync,
            },
            changes,
            change_id: self.change_id.map(ChangeId::new),
            consistency: if self.moving { Consistency::Moving } else { Consistency::PointInTime },
        })
    }
}

fn change_list(fields: Map<String, Value>, source: &Source) -> Result<ChangeList, Failure> {
    if !fields.contains_key("format") {
        return Ok(ChangeList::from_json(&Value::Object(fields).to_string())?);
    }
    let ForeignList { format, base, end, text } = read("cycle.changes", Value::Object(fields))?;
    Ok(match format {
        ListFormat::Csv => ChangeList::from_csv(base, end, u64::MAX, &text)?,
        ListFormat::Vmware => ChangeList::from_vmware(base, end, &text)?,
        ListFormat::HyperV => ChangeList::from_hyper_v(base, end, &text)?,
        ListFormat::QemuBitmap => ChangeList::from_qemu_bitmap(base, end, &text)?,
        ListFormat::Bitmap => {
            let problem = "the source was opened without a bitmap";
            let dirty = source.dirty().ok_or_else(|| CallError::argument("cycle.changes", problem))?;
            ChangeList::of(base, end, dirty.clone())
        }
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct VerifySettings {
    pub(crate) subject: Subject,
    sample: Option<SampleSettings>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SampleSettings {
    damaged_share: f64,
    may_miss: f64,
    #[serde(default)]
    seed: Option<u64>,
}

impl VerifySettings {
    pub(crate) fn coverage(&self) -> Coverage {
        match &self.sample {
            None => Coverage::Full,
            Some(SampleSettings { damaged_share, may_miss, seed: None }) => Coverage::sample(*damaged_share, *may_miss),
            Some(SampleSettings { damaged_share, may_miss, seed: Some(seed) }) => {
                Coverage::Sample { damaged_share: *damaged_share, may_miss: *may_miss, seed: *seed }
            }
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeepSettings {
    newest: usize,
    #[serde(default)]
    younger_than_seconds: Option<u64>,
}

impl From<KeepSettings> for KeepRule {
    fn from(keep: KeepSettings) -> Self {
        Self { newest: keep.newest, younger_than: keep.younger_than_seconds.map(Duration::from_secs) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NetworkSettings {
    targets: Vec<NetworkTargetSettings>,
    #[serde(default)]
    time_limit_seconds: Option<u64>,
    #[serde(default)]
    name_servers: Vec<SocketAddr>,
    #[serde(default)]
    also_private: Vec<IpNet>,
    #[serde(default)]
    ca_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkTargetSettings {
    host: String,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    expect: Vec<IpAddr>,
}

impl NetworkSettings {
    pub(crate) fn parts(self) -> Result<(Vec<NetworkTarget>, NetworkOptions), Failure> {
        let defaults = NetworkOptions::default();
        let target = |settings: NetworkTargetSettings| {
            NetworkTarget::new(settings.host).port(settings.port.unwrap_or(443)).expecting(settings.expect)
        };
        let options = NetworkOptions {
            time_limit: self.time_limit_seconds.map_or(defaults.time_limit, Duration::from_secs),
            lookup: Arc::new(Resolver::asking(self.name_servers)),
            also_private: self.also_private,
            extra_certificates_pem: self
                .ca_file
                .as_deref()
                .map(|path| read_file("preflight.ca_file", path))
                .transpose()?,
        };
        Ok((self.targets.into_iter().map(target).collect(), options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T: DeserializeOwned + std::fmt::Debug>(text: &str) -> String {
        parse::<T>("it", text).unwrap_err().message
    }

    #[test]
    fn nothing_is_every_default() {
        let engine: EngineSettings = parse("engine", "").unwrap();
        assert_eq!(engine.threads().unwrap(), 2);
        assert_eq!(engine.options().unwrap().memory_limit, EngineOptions::default().memory_limit);
    }

    #[test]
    fn a_wrong_setting_is_named_and_what_it_holds_is_not_repeated() {
        let wrong = refused::<EngineSettings>(r#"{"retry": {"budget_seconds": "canary\"canary"}}"#);
        assert!(wrong.contains("it.retry.budget_seconds") && !wrong.contains("canary"), "{wrong}");
        assert!(refused::<EngineSettings>(r#"{"memory_limt": 1}"#).contains("memory_limt"));
        assert!(refused::<EngineSettings>(r#"{"memory_limit": -1}"#).contains("it.memory_limit"));
        assert!(refused::<EngineSettings>(r#""https://a?sig=canary""#).contains("no JSON object"));
        assert!(refused::<EngineSettings>(r#"{"a": canary"#).contains("no JSON"));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let options = |text| parse::<EngineSettings>("engine", text).and_then(|e| e.options().map(drop));
        assert!(options(r#"{"block_size": 65535}"#).unwrap_err().message.contains("block_size"));
        assert!(parse::<EngineSettings>("engine", r#"{"threads": 0}"#).unwrap().threads().is_err());
        assert!(options(r#"{"schedule": {"zone": "Mars/Base"}}"#).unwrap_err().code.starts_with("schedule."));
    }

    #[test]
    fn a_source_and_a_target_need_one_place() {
        assert!(SourceSettings::parse("{}").is_err());
        assert!(SourceSettings::parse(r#"{"path": "a", "nbd": "nbd://b"}"#).is_err());
        assert!(TargetSettings::parse(r#"{"local": "a", "url": "b"}"#).is_err());
        assert!(matches!(TargetSettings::parse(r#"{"local": "a"}"#), Ok(TargetSettings::Local(_))));
    }

    #[test]
    fn change_lists_come_in_each_form() {
        let source = Source::pushed(r#"{"size_bytes": 1048576, "point": "p"}"#).unwrap();
        let request = |text| parse::<CycleSettings>("cycle", text).and_then(|cycle| cycle.request(&source));
        let plain = r#"{"changes": {"base": "1", "end": "2", "extents": [{"offset": 0, "len": 65536}]}}"#;
        assert_eq!(request(plain).unwrap().changes.unwrap().base().as_str(), "1");
        let csv = r#"{"changes": {"format": "csv", "base": "1", "end": "2", "text": "0,65536\n"}}"#;
        assert_eq!(request(csv).unwrap().changes, request(plain).unwrap().changes);
        let bitmap = r#"{"changes": {"format": "bitmap", "base": "1", "end": "2"}}"#;
        assert_eq!(request(bitmap).unwrap_err().code, "call.argument");
        assert!(request(r#"{"changes": {"base": "1"}}"#).unwrap_err().code.starts_with("change_list."));
    }
}
