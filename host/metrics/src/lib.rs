//! What the tasks of a job count, served to Prometheus in the OpenMetrics text format.
//!
//! An [`Exporter`] answers `GET /metrics` on a thread of its own. It shows the job that it was given
//! last: records and bytes in and out of each subtask, the time that it was busy, idle and
//! backpressured, how long its queues are and how much of its pools it uses.
#![forbid(unsafe_code)]

mod collect;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use axum::{Router, http::header, routing::get};
use millstream::Progress;

use collect::JobCollector;

/// What the content of an answer is.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why metrics cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Nobody can listen there.
    #[error("metrics cannot be served at {address}: {error}; choose another `--metrics`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
}

/// Serves metrics until the process ends.
#[derive(Debug)]
pub struct Exporter {
    address: SocketAddr,
    job: Arc<Mutex<Option<Progress>>>,
}

impl Exporter {
    /// Begins to listen; port 0 stands for any that is free.
    ///
    /// # Errors
    /// If the address is taken, or not one of this machine.
    pub fn listen(address: SocketAddr) -> Result<Self, ExportError> {
        let failed = |error| ExportError::Listen { address, error };
        let listener = TcpListener::bind(address).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let runtime = runtime.map_err(failed)?;
        let job = Arc::default();
        let app = router(Arc::clone(&job));
        let serve = async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, app).await
        };
        let thread = thread::Builder::new().name("metrics".into());
        thread
            .spawn(move || {
                // A server without end: what could fail was tried above.
                let _ = runtime.block_on(serve);
            })
            .map_err(failed)?;
        Ok(Self { address: bound, job })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shows this job from now on.
    pub fn show(&self, job: &Progress) {
        *self.job.lock().unwrap_or_else(PoisonError::into_inner) = Some(job.clone());
    }
}

fn router(job: Arc<Mutex<Option<Progress>>>) -> Router {
    let answer = move || {
        let job = job.lock().unwrap_or_else(PoisonError::into_inner).clone();
        async move { ([(header::CONTENT_TYPE, CONTENT_TYPE)], text(job)) }
    };
    Router::new().route("/metrics", get(answer))
}

/// The metrics of a job as text.
fn text(job: Option<Progress>) -> String {
    let mut registry = prometheus_client::registry::Registry::default();
    if let Some(job) = job {
        registry.register_collector(Box::new(JobCollector(job)));
    }
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{Ipv4Addr, TcpStream},
    };

    use millstream::{Runtime, result::Discard};
    use millstream_dataflow::Environment;

    use super::*;

    fn fetch(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_job_is_shown_with_every_subtask() {
        let exporter = Exporter::listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        assert!(fetch(exporter.address(), "/metrics").ends_with("# EOF\n"));
        let env = Environment::new("squares");
        env.generate(|_, _| 0..500u64).map(|n| n * n).result();
        let runtime = Runtime::builder().parallelism(2).build().unwrap();
        let summary = runtime.run(env.build(), Box::new(Discard)).unwrap();
        exporter.show(&summary.progress);
        let answer = fetch(exporter.address(), "/metrics");
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        let labels = "job=\"squares\",task=\"generate -> map\"";
        for line in [
            format!("millstream_task_records_out_total{{{labels},subtask=\"0\"}} 500\n"),
            format!("millstream_task_records_out_total{{{labels},subtask=\"1\"}} 500\n"),
            "millstream_task_records_in_total{job=\"squares\",task=\"result\",subtask=\"0\"} 1000\n"
                .into(),
        ] {
            assert!(answer.contains(&line), "{line} is missing in {answer}");
        }
        for name in ["busy_seconds", "idle_seconds", "backpressured_seconds", "input_queue_length"]
        {
            assert!(answer.contains(&format!("# TYPE millstream_task_{name} ")), "{name}");
        }
        assert!(fetch(exporter.address(), "/other").starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn an_address_that_is_taken_is_refused_with_a_fix() {
        let first = Exporter::listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let error = Exporter::listen(first.address()).unwrap_err().to_string();
        assert!(error.contains("choose another `--metrics`"), "{error}");
    }
}
