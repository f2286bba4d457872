/work/main/shared/doctor/target/debug/deps/doctor-b085143caf125c28.d: src/main.rs

/work/main/shared/doctor/target/debug/deps/doctor-b085143caf125c28: src/main.rs

src/main.rs:

# env-dep:CARGO_MANIFEST_DIR=/work/main/shared/doctor
