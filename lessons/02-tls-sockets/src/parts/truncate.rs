//! A message that is cut short by an attacker who cannot read it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use careful_lines::{LINE_DEADLINE, LONGEST_LINE, read_line};
use rustls::pki_types::ServerName;
use shared::wiretap::{Action, Framing, Unit};
use shared::{Direction, LabCa, LoopbackServer, Transcript, Wiretap};
use tls_sockets::lab::careless::read_to_any_end;
use tls_sockets::lab::{ONLY_1_3, SERVER, client, server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const FIRST: &str = "pay 100 to bob";
const SECOND: &str = ", if carol agrees\n";
const DEADLINE: Duration = Duration::from_secs(5);

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let ca = LabCa::new("Course Lab")?;
    let orders = orders(&ca).await?;

    t.step("A server sends an order in two records. The client acts on what it has read.");
    let mut stream = connect(&ca, orders.address()).await?;
    let order = t.works("undisturbed", read_to_any_end(&mut stream).await)?;
    t.must_show("order", order.trim_end(), "if carol agrees")?;

    // ANCHOR: attack
    t.step("A relay recognizes the second record by its length, and cuts the wire before it.");
    let length = 5 + SECOND.len() + 1 + 16;
    let cut = move |record: Unit<'_>| match record.direction {
        Direction::ToClient if record.bytes.len() == length => Action::Cut,
        _ => Action::Pass,
    };
    let relay = Wiretap::attacking(orders.address(), Framing::TlsRecords, cut).await?;
    let mut stream = connect(&ca, relay.address()).await?;
    let order = read_to_any_end(&mut stream).await?;
    t.shows("order", &order);
    t.attack_works("a client that doesn't ask how the stream ended pays bob", order == FIRST)?;
    // ANCHOR_END: attack

    // ANCHOR: fix
    t.step("The same attack, and a client that doesn't ignore the errors of rustls.");
    let mut stream = connect(&ca, relay.address()).await?;
    let mut order = String::new();
    let read = stream.read_to_string(&mut order).await;
    t.refused("by read_to_string", read, "without sending TLS close_notify")?;

    t.step("The same attack, and a client whose messages end with a line feed.");
    let mut stream = BufReader::new(connect(&ca, relay.address()).await?);
    let read = read_line(&mut stream, LONGEST_LINE, LINE_DEADLINE).await;
    t.refused_in_short("by read_line", read, "close_notify")?;
    t.note(
        "Without the line feed there is no order, so such a protocol is safe even without \
         close_notify.",
    );
    // ANCHOR_END: fix
    Ok(())
}

async fn connect(
    ca: &LabCa,
    address: std::net::SocketAddr,
) -> anyhow::Result<TlsStream<TcpStream>> {
    let connector = TlsConnector::from(Arc::new(client(ca.roots(), ONLY_1_3)?));
    let tcp = TcpStream::connect(address).await?;
    Ok(connector.connect(ServerName::try_from(SERVER)?, tcp).await?)
}

/// Sends the order to everybody, in two records, and closes properly.
async fn orders(ca: &LabCa) -> anyhow::Result<LoopbackServer> {
    let acceptor = TlsAcceptor::from(Arc::new(server(&ca.leaf(SERVER).issue()?, ONLY_1_3)?));
    let server = LoopbackServer::start(move |tcp| {
        let acceptor = acceptor.clone();
        async move {
            let send = async {
                let mut stream = acceptor.accept(tcp).await?;
                stream.write_all(FIRST.as_bytes()).await?;
                stream.flush().await?;
                stream.write_all(SECOND.as_bytes()).await?;
                stream.shutdown().await?;
                tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
                Ok::<_, io::Error>(())
            };
            // What the client makes of it is what the lesson looks at.
            let _ = tokio::time::timeout(DEADLINE, send).await;
        }
    });
    Ok(server.await?)
}
