/work/main/shared/doctor/target/debug/deps/faults-9fb6e2e74402d8e9.d: tests/faults.rs

/work/main/shared/doctor/target/debug/deps/faults-9fb6e2e74402d8e9: tests/faults.rs

tests/faults.rs:

# env-dep:CARGO_BIN_EXE_doctor=/work/main/shared/doctor/target/debug/doctor
# env-dep:CARGO_MANIFEST_DIR=/work/main/shared/doctor
# env-dep:CARGO_TARGET_TMPDIR=/work/main/shared/doctor/target/tmp
