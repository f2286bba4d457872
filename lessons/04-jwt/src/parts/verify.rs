//! What jsonwebtoken's defaults accept, and what the profile does.

use anyhow::{Context, ensure};
use aws_lc_rs::rand;
use careful_tokens::clock::Clock;
use careful_tokens::keys::SigningKey;
use jwt::lab::cases;
use jwt::lab::stage::{NOW, Scope, key_id, pair};
use shared::Transcript;
use std::time::Duration;

use super::logged;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let mut secret = [0; 32];
    rand::fill(&mut secret).ok().context("random bytes")?;
    let public = rcgen::KeyPair::generate()?.public_key_pem();
    let cases = cases::all(Clock::system().now(), &secret, &public);

    t.step(
        "One good token, and others that differ from it in one thing each. The verdict of \
         jsonwebtoken with its defaults, and that of the profile.",
    );
    let word = |accepted| if accepted { "accepted" } else { "refused" };
    let mut rows = vec![["token", "defaults", "profile", "differ"].map(str::to_owned)];
    let mut differ = Vec::new();
    for case in &cases {
        let (defaults, profile) = (case.defaults(), case.profile()?);
        let differs = defaults != profile.is_ok();
        rows.push([
            case.name.to_owned(),
            word(defaults).to_owned(),
            word(profile.is_ok()).to_owned(),
            if differs { "<--" } else { "" }.to_owned(),
        ]);
        if let Err(reason) = profile.clone()
            && differs
        {
            differ.push((case.name, reason));
        }
        ensure!(defaults || profile.is_err(), "the profile is never the laxer one");
        ensure!(profile.is_ok() == (case.name == "a good one"), "{}", case.name);
    }
    t.table(&rows);

    t.step(
        "For each row in which the two differ, the reason that the verifier writes to its own log.",
    );
    t.must_show("rows", &format!("{} of {}", differ.len(), cases.len()), "23 of 34")?;
    for (name, reason) in differ {
        t.shows("token", name);
        t.shows("  because", reason);
    }

    // ANCHOR: clock
    t.step("A token that is valid for 600 s, at a verifier with 5 s of leeway.");
    let clock = Clock::settable(NOW);
    let (issuer, verifier) = pair(SigningKey::ed25519(key_id("2026-11")?)?, &clock)?;
    let token = issuer.issue("alice", &Scope::new("read"))?;
    let verify = || logged(verifier.verify::<Scope>(token.expose()));
    t.works("after 0 s", verify())?;
    clock.advance(Duration::from_secs(600));
    t.works("after 600 s", verify())?;
    clock.advance(Duration::from_secs(4));
    t.works("after 604 s", verify())?;
    clock.advance(Duration::from_secs(1));
    t.refused_in_short("after 605 s", verify(), "expired 5 s ago")?;
    // ANCHOR_END: clock

    t.step("Try to build three profiles.");
    use careful_tokens::profile::{Profile, TokenType};
    let profile = |issuer, audience| Profile::new(issuer, audience, TokenType::ACCESS);
    t.refused(
        "a profile without an audience",
        profile("https://login.bank.test", ""),
        "the audience",
    )?;
    t.refused("a profile without an issuer", profile("", "x"), "the issuer")?;
    let minutes = Duration::from_secs(600);
    t.refused(
        "ten minutes of leeway",
        profile("https://login.bank.test", "x")?.leeway(minutes),
        "set your clocks",
    )
}
