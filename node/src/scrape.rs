//! The page of metrics over HTTP, for whoever scrapes it.

use crate::metrics::Metrics;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// After a failure to take a connection: whatever was used up may be there again.
const PAUSE: Duration = Duration::from_secs(1);

/// What those who ask may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; who comes then waits until one has ended.
    pub connections: usize,
    /// For a connection, from its first byte to its last: each is for one question.
    pub deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 16, deadline: Duration::from_secs(5) }
    }
}

/// Serves `/metrics` until it is dropped, and with it all connections.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>, limits: Limits) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    while let Ok(place) = places.clone().acquire_owned().await {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let metrics = metrics.clone();
                connections.spawn(async move {
                    if timeout(limits.deadline, converse(stream, &metrics)).await.is_err() {
                        tracing::debug!("whoever asked for metrics took too long");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection for metrics");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, metrics: &Metrics) {
    let service = service_fn(async |request| Ok::<_, Infallible>(answer(&request, metrics)));
    if let Err(error) = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a question for metrics");
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let (status, kind, page) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => {
            (StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", metrics.page())
        }
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "text/plain", "there is /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::from(page));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::{Limits, serve};
    use crate::metrics::Metrics;
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    async fn serving(limits: Limits) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, Arc::new(Metrics::new(&[])), limits));
        address
    }

    async fn ask(address: SocketAddr, line: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{line} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn there_is_one_page() {
        let address = serving(Limits::default()).await;
        let page = ask(address, "GET /metrics").await;
        assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("varangian_executed_slot 0\n"), "{page}");
        assert!(ask(address, "GET /").await.starts_with("HTTP/1.1 404 "));
        assert!(ask(address, "POST /metrics").await.starts_with("HTTP/1.1 405 "));
    }

    /// Those who connect and say nothing keep nobody from his answer for longer than the deadline.
    #[tokio::test]
    async fn who_says_nothing_loses_his_place() {
        let address = serving(Limits { connections: 2, deadline: Duration::from_millis(50) }).await;
        let mut silent = Vec::new();
        for _ in 0..6 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        assert!(ask(address, "GET /metrics").await.starts_with("HTTP/1.1 200 "));
        for mut stream in silent {
            assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0, "closed");
        }
    }

    /// The one place is taken for as long as whoever has it stays.
    #[tokio::test]
    async fn who_finds_no_place_waits_for_one() {
        let address = serving(Limits { connections: 1, deadline: Duration::from_secs(3600) }).await;
        let silent = TcpStream::connect(address).await.unwrap();
        let mut asking = std::pin::pin!(ask(address, "GET /metrics"));
        assert!(timeout(Duration::from_millis(100), &mut asking).await.is_err(), "two are served");
        drop(silent);
        assert!(asking.await.starts_with("HTTP/1.1 200 "));
    }
}
