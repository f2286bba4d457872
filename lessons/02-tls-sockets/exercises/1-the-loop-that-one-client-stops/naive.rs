//! The answer that most people find first is a task for each client. The loop goes on, and every demonstration works again.
//! But each silent client keeps its task, and its file descriptor, for as long as it likes. So the server doesn't stop at
//! once, but it stops in the end. And those who connect decide how many tasks there are.

use exercises_2::accept_loop::{Clerk, Limits, Server};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub struct Yours;

impl Server for Yours {
    async fn serve(listener: TcpListener, acceptor: TlsAcceptor, clerk: Clerk, _limits: Limits) {
        while let Ok((tcp, _peer)) = listener.accept().await {
            let (acceptor, clerk) = (acceptor.clone(), clerk.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(tcp).await {
                    clerk.answer(stream).await;
                }
            });
        }
    }
}
