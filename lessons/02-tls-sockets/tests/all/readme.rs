//! The shortest programs of the take-home crates, which their READMEs begin with: they compile here, and
//! those that need no network and no file of yours run.

#[path = "../../take-home/examples/careful-tls.rs"]
#[allow(dead_code, reason = "it is compiled, and not run")]
mod careful_tls_program;
