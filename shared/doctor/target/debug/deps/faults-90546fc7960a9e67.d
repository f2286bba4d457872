/work/main/shared/doctor/target/debug/deps/faults-90546fc7960a9e67.d: /work/main/clippy.toml tests/faults.rs Cargo.toml

/work/main/shared/doctor/target/debug/deps/libfaults-90546fc7960a9e67.rmeta: /work/main/clippy.toml tests/faults.rs Cargo.toml

/work/main/clippy.toml:
tests/faults.rs:
Cargo.toml:

# env-dep:CARGO_BIN_EXE_doctor=placeholder:doctor
# env-dep:CARGO_MANIFEST_DIR=/work/main/shared/doctor
# env-dep:CARGO_TARGET_TMPDIR=/work/main/shared/doctor/target/tmp
# env-dep:CLIPPY_ARGS=-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__
# env-dep:CLIPPY_CONF_DIR
