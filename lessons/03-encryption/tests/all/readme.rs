//! The shortest programs of the take-home crates, which their READMEs begin with: they compile here, and
//! those that need no network and no file of yours run.

mod careful_encryption_program {
    include!("../../take-home/examples/careful-encryption.rs");

    pub(super) fn run() -> impl std::process::Termination {
        main()
    }
}

#[test]
fn the_program_of_careful_encryption_runs() {
    use std::process::{ExitCode, Termination};
    assert_eq!(careful_encryption_program::run().report(), ExitCode::SUCCESS);
}
