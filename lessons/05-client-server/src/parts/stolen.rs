//! Tokens in the wrong hands.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, bail};
use careful_mailbox::client::Client;
use careful_mailbox::protocol::{MessageId, Name, Request, Response, Secret};
use careful_mailbox::signing_keys;
use careful_tokens::issuer::Issuer;
use careful_tokens::profile::{Profile, TokenType};
use mailbox::lab::stage::{Person, Stage, StageOptions};
use mailbox::lab::token::about_another;
use mailbox::programs::LAB_NAME;
use shared::Transcript;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let stage = Stage::new(StageOptions::default()).await?;
    let mut alice = stage.person("alice").await?;
    let mut bob = stage.person("bob").await?;
    let mut mallory = Client::new(stage.endpoint()?);
    bob.send("alice", "a letter for Alice").await?;
    let fetch = |token: &Secret| Request::Fetch { token: token.clone(), after: 0 };

    // ANCHOR: stolen
    t.step("Mallory broke into a machine and copied Alice's access token.");
    alice.send("bob", "hello").await?;
    let stolen = alice.client.token().context("a token")?.clone();
    let answer = mallory.call(&fetch(&stolen)).await?;
    let Response::Messages { messages, .. } = answer else { bail!("messages") };
    t.attack_works("she fetches the letter in Alice's mailbox", messages.len() == 1)?;
    t.shows("she has", format!("{:?}, sealed for Alice", messages[0].sealed));
    let name = Name::new("mallory")?;
    let key = careful_encryption::public_key::KeyPair::random();
    let box_ = &messages[0].sealed.0;
    let from = careful_encryption::public_key::PublicKey::from_bytes(&public(&mut bob).await?)?;
    t.refused(
        "to open the letter without Alice's key",
        careful_mailbox::sealed::open(
            (&name, &key),
            (&messages[0].from, &from),
            messages[0].id,
            box_,
        ),
        "not a letter",
    )?;
    t.note(
        "She can delete the letter, and send letters in Alice's name, which Bob's program won't \
         accept as Alice's.",
    );

    t.step("Alice logs out. The token would be valid for some minutes more.");
    let Person { client, folder, .. } = alice;
    client.close().await;
    t.refused("the stolen token", mallory.call(&fetch(&stolen)).await, "not authenticated")?;
    // ANCHOR_END: stolen

    t.step("A stolen token that nobody revoked, at once and ten minutes later.");
    let mut alice = Person::load(folder, stage.endpoint()?)?;
    alice.read().await?;
    let stolen = alice.client.token().context("a token")?.clone();
    t.works("at once", mallory.call(&fetch(&stolen)).await)?;
    stage.clock.advance(Duration::from_secs(605));
    t.refused("after 605 s", mallory.call(&fetch(&stolen)).await, "not authenticated")?;
    t.works("Alice's program, which renews its token", alice.read().await)?;

    // ANCHOR: way_back
    t.step("Mallory has copied Alice's refresh token, too, and uses it before Alice does.");
    let (alice_name, mut own) = (alice.account.name().clone(), Client::new(stage.endpoint()?));
    let answer = own.call(&log_in(&alice_name, alice.account.password())).await?;
    let Response::Tokens { refresh, .. } = answer else { bail!("tokens") };
    let renew = Request::Refresh { refresh };
    let answer = mallory.call(&renew).await?;
    let Response::Tokens { access: stolen, .. } = answer else { bail!("tokens") };
    t.works("the pair that Mallory gets for it", mallory.call(&fetch(&stolen)).await)?;
    t.refused_in_short(
        "Alice's program, with the same refresh token",
        own.call(&renew).await,
        "not authenticated",
    )?;
    t.refused_in_short(
        "Mallory's access token",
        mallory.call(&fetch(&stolen)).await,
        "not authenticated",
    )?;
    let reused = stage.server.service().counters().reused_tokens.load(Ordering::Relaxed);
    t.must_show("operator sees", &format!("{reused} token that was used twice"), "1 token")?;

    t.step("Somebody broke into Alice's machine, so she changes her password and her key.");
    let fresh = Secret::new("a new password, only for Alice");
    let ended = alice.account.change_password(&mut alice.client, fresh).await;
    t.works("a new password", ended)?;
    let old = log_in(&alice_name, Secret::new("the password of alice"));
    t.refused_in_short(
        "Mallory, with the old password",
        mallory.call(&old).await,
        "not authenticated",
    )?;
    let ended = alice.account.change_key(&mut alice.client).await;
    t.works("a new key", ended)?;
    let warned = bob.send("alice", "is that you?").await;
    t.refused_in_short("Bob's next letter to her", warned, "HAS CHANGED")?;
    let compared = alice.account.own_fingerprint();
    let removed = bob.account.trust(&mut bob.client, alice.account.name(), &compared).await;
    t.works("Bob compares, and trusts the new key", removed)?;
    bob.send("alice", "it is you").await?;
    let found = alice.read().await?;
    let [missing, letter] = &found[..] else { bail!("expected two lines, got {found:?}") };
    t.must_show("Alice reads", &missing.to_string(), "a letter from bob is missing")?;
    t.must_show("", &letter.to_string(), "it is you")?;
    t.note(
        "The missing letter was sealed for her old key. Bob's program told him, and he wrote \
         again.",
    );
    // ANCHOR_END: way_back

    t.step("A token for another service, from the same login and signed with the same key.");
    let keys = signing_keys::load_or_make(&stage.signing_keys())?;
    let key = keys.into_iter().next_back().context("a key")?;
    let photos = Profile::new(LAB_NAME, "photos.test", TokenType::ACCESS)?;
    let photos = Issuer::new(photos, key, stage.clock.clone());
    let scope = serde_json::json!({ "scope": "mailbox" });
    let token = Secret::new(photos.issue("alice", &scope)?.expose());
    t.refused("the token", mallory.call(&fetch(&token)).await, "not authenticated")?;

    t.step("Mallory's own token, with Alice's name written into it.");
    let mut own = stage.person("mallory").await?;
    own.read().await?;
    let token = own.client.token().context("a token")?.clone();
    let forged = about_another(&token, "alice")?;
    t.refused("the token", mallory.call(&fetch(&forged)).await, "not authenticated")?;
    let answer = mallory.call(&fetch(&token)).await?;
    let Response::Messages { messages, .. } = answer else { bail!("messages") };
    t.must_show("with her own", &format!("{} letters: her mailbox", messages.len()), "0")?;

    // ANCHOR: twice
    t.step(
        "A request that arrives twice, from a client that got no answer or from a thief with a \
         recording.",
    );
    let id = MessageId::random().context("random bytes")?;
    let token = alice.client.token().context("a token")?.clone();
    let send = |sealed: &[u8]| Request::Send {
        token: token.clone(),
        to: Name::new("bob").unwrap_or_else(|_| alice.account.name().clone()),
        id,
        sealed: careful_mailbox::protocol::Bytes(sealed.to_vec()),
    };
    for (time, expected) in [("first", false), ("second", true)] {
        let answer = mallory.call(&send(b"a box")).await?;
        let Response::Stored { again } = answer else { bail!("stored") };
        let text = if again { "was there already" } else { "stored" };
        t.must_show(time, text, if expected { "already" } else { "stored" })?;
    }
    t.refused(
        "the same id with another content",
        mallory.call(&send(b"another box")).await,
        "another message has that id",
    )
    // ANCHOR_END: twice
}

fn log_in(name: &Name, password: Secret) -> Request {
    Request::LogIn { name: name.clone(), password }
}

/// The public key of somebody, as the server says it.
async fn public(of: &mut Person) -> anyhow::Result<Vec<u8>> {
    let name = of.account.name().clone();
    let request = |token| Request::Key { token, name: name.clone() };
    match of.client.call_with_token(request).await? {
        Response::Key { key, .. } => Ok(key.0),
        _ => bail!("expected a key"),
    }
}
