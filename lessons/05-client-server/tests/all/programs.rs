//! What the two programs do while a file can't be read, on a drive that hangs for example.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Command;
use mailbox::lab::stage::Stage;
use mailbox::programs::run;
use mailbox::programs::server::{Signals, until_stopped};

use crate::common::{TestResult, quick};

#[test]
fn a_program_ends_although_a_file_is_still_being_read() {
    let (hang, hung) = std::sync::mpsc::channel::<()>();
    let began = Instant::now();
    let code = run(Command::new("mailbox"), ["mailbox".into()], async |_matches| {
        let (starts, started) = tokio::sync::oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let _ = starts.send(());
            let _ = hung.recv_timeout(Duration::from_secs(30));
        });
        Ok(started.await?)
    });
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(code, ExitCode::SUCCESS);
    drop(hang);
}

/// Else every reload would keep a thread, until there are none.
#[tokio::test]
async fn one_reload_reads_at_a_time_and_the_next_one_after_it() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let (now, most, all) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let (here, highest, count) = (now.clone(), most.clone(), all.clone());
    let slow = move || {
        highest.fetch_max(here.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(50));
        here.fetch_sub(1, Ordering::SeqCst);
        count.fetch_add(1, Ordering::SeqCst);
        let nothing = || anyhow::anyhow!("nothing was read");
        (Err(nothing()), Err(nothing()))
    };
    let serving = until_stopped(Signals::new()?, &stage.server, slow, Duration::from_millis(5));
    let enough = async {
        while all.load(Ordering::SeqCst) < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = serving => return Err("nothing said to stop".into()),
        () = enough => {}
    }
    assert_eq!(most.load(Ordering::SeqCst), 1);
    Ok(())
}
