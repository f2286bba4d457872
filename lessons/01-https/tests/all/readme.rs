//! The shortest programs of the take-home crates, which their READMEs begin with: they compile here, and
//! those that need no network and no file of yours run.

#[path = "../../take-home-certificates/examples/careful-certificates.rs"]
#[allow(dead_code, reason = "it is compiled, and not run")]
mod careful_certificates_program;

mod careful_errors_program {
    include!("../../take-home-errors/examples/careful-errors.rs");

    pub(super) fn run() -> impl std::process::Termination {
        main()
    }
}

#[path = "../../take-home-files/examples/careful-files.rs"]
#[allow(dead_code, reason = "it is compiled, and not run")]
mod careful_files_program;

#[path = "../../take-home/examples/careful-https.rs"]
#[allow(dead_code, reason = "it is compiled, and not run")]
mod careful_https_program;

#[test]
fn the_program_of_careful_errors_runs() {
    use std::process::{ExitCode, Termination};
    assert_eq!(careful_errors_program::run().report(), ExitCode::SUCCESS);
}
