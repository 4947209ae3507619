//! Every request with its answer, in the shape that Azure's own validator of live traffic (`oav`) reads.
//!
//! The host is the public cloud's, whatever the loopback address was, and the token is left out. With
//! `LIBMIGRATE_ARM_PAIRS` set to a folder, every fake of the process writes its pairs there, one JSON object a
//! line, for `cargo xtask contracts`.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::request::Request;

/// The folder that pairs are written to.
const PAIRS: &str = "LIBMIGRATE_ARM_PAIRS";

/// Where the recorded requests went, as far as the pairs tell.
const HOST: &str = "https://management.azure.com";

/// The pairs so far.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) pairs: Vec<Value>,
    file: Option<File>,
}

impl Recorder {
    /// One that also writes to a file, where the environment asks for it.
    pub(crate) fn from_environment() -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let Some(folder) = std::env::var_os(PAIRS) else { return Self::default() };
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        Self::to_file(&Path::new(&folder).join(format!("{}-{serial}.jsonl", std::process::id())))
    }

    fn to_file(path: &Path) -> Self {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).expect("the folder for recorded pairs can be made");
        }
        let file = File::create(path).expect("the file for recorded pairs can be made");
        Self { pairs: Vec::new(), file: Some(file) }
    }

    pub(crate) fn record(&mut self, origin: &str, request: &Request, answer: &Answer) {
        let public = |text: &str| text.replace(origin, HOST);
        let mut asked: Map<String, Value> = request
            .headers
            .iter()
            .filter(|(name, _)| *name != "authorization" && *name != "host")
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        asked.insert("authorization".into(), "Bearer left-out".into());
        let mut answered: Map<String, Value> =
            answer.headers.iter().map(|(name, value)| ((*name).to_owned(), public(value).into())).collect();
        if answer.body.is_some() {
            answered.insert("content-type".into(), "application/json".into());
        }
        let mut pair = json!({
            "liveRequest": {
                "method": request.method,
                "url": format!("{HOST}{}", request.target),
                "headers": asked,
            },
            "liveResponse": { "statusCode": answer.status.to_string(), "headers": answered },
        });
        if let Some(body) = &request.body {
            pair["liveRequest"]["body"] = body.clone();
        }
        if let Some(body) = &answer.body {
            pair["liveResponse"]["body"] = serde_json::from_str(&public(&body.to_string())).unwrap_or_default();
        }
        if let Some(file) = &mut self.file {
            writeln!(file, "{pair}").expect("recorded pairs can be written");
        }
        self.pairs.push(pair);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_names_the_public_host_and_not_the_token() {
        let parts = hyper::Request::get("/subscriptions/s/locations?api-version=2022-12-01")
            .header("authorization", "Bearer secret")
            .body(())
            .unwrap()
            .into_parts()
            .0;
        let request = Request::read(&parts, b"");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pairs/1.jsonl");
        let mut recorder = Recorder::to_file(&path);
        let answer = Answer::ok(json!({ "nextLink": "http://127.0.0.1:9/more" }));

        recorder.record("http://127.0.0.1:9", &request, &answer);

        let line = fs::read_to_string(path).unwrap();
        assert!(!line.contains("secret") && !line.contains("127.0.0.1"), "{line}");
        assert_eq!(recorder.pairs[0], serde_json::from_str::<Value>(&line).unwrap());
        assert_eq!(recorder.pairs[0]["liveResponse"]["body"]["nextLink"], "https://management.azure.com/more");
    }
}
