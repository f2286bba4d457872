//! An interceptor with a CA of its own, and three clients.

use careful_https::body::read_json;
use careful_https::client::{Trust, secure_client};
use https::lab::bank::{Payment, TOKEN};
use https::lab::careless;
use https::lab::interceptor::Interceptor;
use reqwest::Client;
use shared::{LabCa, Transcript};

use https::lab::stage::{BANK, Stage, bank_at, trust};

const MAX_ANSWER: usize = 4 * 1024;
const EDIT: (&str, &str) = (r#""coins":25"#, r#""coins":99"#);

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let stage = Stage::new().await?;
    let mallory = LabCa::new("Mallory")?;

    // ANCHOR: careless
    t.step("Mallory's interceptor has its own CA. It changes 25 to 99, and back in the receipt.");
    let attack = interceptor(&stage, &mallory).await?;
    let client_of_the_web =
        careless::accepts_any_certificate().resolve(BANK, attack.address()).build()?;
    let receipt = pay(&client_of_the_web, &attack).await;
    let receipt = t.works("a client that accepts any certificate pays 25 coins", receipt)?;
    t.shows("receipt", format!("{} coins to {}", receipt.coins, receipt.to));
    // ANCHOR_END: careless
    let token = attack
        .notes()
        .lines()
        .find_map(|line| line.strip_prefix("authorization: ").map(str::to_owned));
    t.shows("Mallory read", token.as_deref().unwrap_or("nothing"));
    let paid = stage.bank.paid();
    t.shows(
        "bank paid",
        paid.iter()
            .map(|p| format!("{} coins to {}", p.coins, p.to))
            .collect::<Vec<_>>()
            .join(", "),
    );
    let robbed = token.is_some_and(|token| token.contains(TOKEN))
        && paid.iter().any(|payment| payment.coins == 99);
    t.attack_works("she has the token, and the bank paid 99", robbed)?;

    // ANCHOR: verifying
    t.step("The same interceptor, and a client that trusts our CA alone.");
    let attack = interceptor(&stage, &mallory).await?;
    let careful = stage.client(&bank_at(attack.address()))?.build()?;
    t.refused("pay 25 coins", pay(&careful, &attack).await, "UnknownIssuer")?;
    nothing_was_read(t, &attack)?;
    // ANCHOR_END: verifying

    t.step("Mallory gives her CA the same name as ours.");
    let namesake = LabCa::new("Course Lab")?;
    let attack = interceptor(&stage, &namesake).await?;
    let careful = stage.client(&bank_at(attack.address()))?.build()?;
    t.refused_in_short("pay 25 coins", pay(&careful, &attack).await, "BadSignature")?;
    nothing_was_read(t, &attack)?;

    t.step("A client that trusts two CAs, ours and one that signs for Mallory.");
    let stage = Stage::new().await?;
    let attack = interceptor(&stage, &mallory).await?;
    let Trust::Only(ours) = trust(&stage.ca)? else { anyhow::bail!("the stage trusts one CA") };
    let Trust::Only(hers) = trust(&mallory)? else { anyhow::bail!("Mallory trusts one CA") };
    let both = Trust::Only(ours.and(hers));
    let trusting = secure_client(&both)?.resolve(BANK, attack.address()).build()?;
    pay(&trusting, &attack).await?;
    let robbed = attack.notes().contains(TOKEN)
        && stage.bank.paid().iter().any(|payment| payment.coins == 99);
    t.attack_works("the client gave her the token, and the bank paid 99", robbed)?;
    t.note("Any CA in the trust store can do this, so keep the list of CAs short.");
    Ok(())
}

async fn interceptor(stage: &Stage, ca: &LabCa) -> anyhow::Result<Interceptor> {
    let identity = ca.leaf(BANK).issue()?;
    Interceptor::start(&stage.host(), stage.ca.roots(), &identity, EDIT).await
}

fn nothing_was_read(t: &mut Transcript, attack: &Interceptor) -> anyhow::Result<()> {
    let read = attack.notes().len();
    anyhow::ensure!(read == 0, "Mallory read {read} bytes");
    t.shows("Mallory read", format!("{read} bytes"));
    Ok(())
}

/// Pays Bob 25 coins; returns the receipt.
async fn pay(client: &Client, attack: &Interceptor) -> anyhow::Result<Payment> {
    let order = Payment { to: "bob".to_owned(), coins: 25 };
    let url = bank_at(attack.address()).url("/pay");
    let answer = client.post(url).bearer_auth(TOKEN).json(&order).send().await?;
    Ok(read_json(answer.error_for_status()?, MAX_ANSWER).await?)
}
