//! A place first, then a client, then a task with a deadline. After an error of `accept`, the loop waits a moment and goes on.

use std::sync::Arc;
use std::time::Duration;

use exercises_2::accept_loop::{Clerk, Limits, Server};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

pub struct Yours;

impl Server for Yours {
    async fn serve(listener: TcpListener, acceptor: TlsAcceptor, clerk: Clerk, limits: Limits) {
        let places = Arc::new(Semaphore::new(limits.at_once));
        // Nobody closes the semaphore, so this ends when the server is dropped.
        while let Ok(place) = places.clone().acquire_owned().await {
            let Ok((tcp, _peer)) = listener.accept().await else {
                // Out of file descriptors, it would fail again at once.
                sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (acceptor, clerk) = (acceptor.clone(), clerk.clone());
            tokio::spawn(async move {
                let _place = place;
                if let Ok(Ok(stream)) = timeout(limits.handshake, acceptor.accept(tcp)).await {
                    clerk.answer(stream).await;
                }
            });
        }
    }
}
