//! The shortest programs of the take-home crates, which their READMEs begin with: they compile
//! here, and those that need no network and no file of yours run.

mod careful_services_program {
    #![expect(dead_code, reason = "it runs until Ctrl-C")]
    include!("../../take-home/examples/careful-services.rs");
}

mod renewing_program {
    #![expect(dead_code, reason = "it runs until Ctrl-C")]
    include!("../../take-home/examples/renewing.rs");
}

mod careful_issuer_program {
    include!("../../take-home-issuer/examples/careful-issuer.rs");

    pub(super) fn run() -> impl std::process::Termination {
        main()
    }
}

#[test]
fn the_program_of_careful_issuer_runs() {
    use std::process::{ExitCode, Termination};
    assert_eq!(careful_issuer_program::run().report(), ExitCode::SUCCESS);
}
