/work/main/shared/doctor/target/debug/deps/doctor-18b92317875e9896.d: /work/main/clippy.toml src/main.rs Cargo.toml

/work/main/shared/doctor/target/debug/deps/libdoctor-18b92317875e9896.rmeta: /work/main/clippy.toml src/main.rs Cargo.toml

/work/main/clippy.toml:
src/main.rs:
Cargo.toml:

# env-dep:CARGO_MANIFEST_DIR=/work/main/shared/doctor
# env-dep:CLIPPY_ARGS=-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__
# env-dep:CLIPPY_CONF_DIR
