//! Name lookups with a concurrency limit: the system's resolver blocks a thread until it gives up, and the ledger and
//! the page need threads of the same pool.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

/// Maximum number of concurrent lookups. The runtime has several hundred threads for blocking work.
const AT_ONCE: usize = 64;

/// The system's resolver with a concurrency limit.
#[derive(Debug)]
pub(super) struct Resolver(Arc<Semaphore>);

impl Resolver {
    pub(super) fn new() -> Resolver {
        Resolver(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let places = Arc::clone(&self.0);
        Box::pin(async move {
            let place = places.acquire_owned().await?;
            let resolving = tokio::task::spawn_blocking(move || {
                // Held until the lookup ends, even when nobody waits for it any more.
                let _place = place;
                look_up(name.as_str())
            });
            let addresses: Addrs = Box::new(resolving.await??.into_iter());
            Ok(addresses)
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "on a blocking thread")]
fn look_up(name: &str) -> std::io::Result<Vec<SocketAddr>> {
    use std::net::ToSocketAddrs;
    Ok((name, 0).to_socket_addrs()?.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_are_looked_up() {
        let found = Resolver::new().resolve("localhost".parse().unwrap()).await.unwrap();
        assert!(found.map(|address| address.ip()).all(|ip| ip.is_loopback()));
    }

    #[tokio::test]
    async fn no_more_than_the_limit_at_once() {
        let resolver = Resolver::new();
        let all = resolver.0.clone().acquire_many_owned(AT_ONCE as u32).await.unwrap();
        let waiting = resolver.resolve("localhost".parse().unwrap());
        tokio::pin!(waiting);
        assert!(poll_once(waiting.as_mut()).await.is_none(), "the lookup waits for a permit");
        drop(all);
        assert!(waiting.await.is_ok());
    }

    async fn poll_once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
        tokio::select! {
            biased;
            done = future => Some(done),
            () = std::future::ready(()) => None,
        }
    }
}
