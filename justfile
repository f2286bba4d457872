# Every recipe is plain cargo: without just, run its lines. cargo says on standard error what it
# compiles, or that it waits for another cargo; the lesson's own lines are on standard output.

set windows-shell := ["powershell.exe", "-NoLogo", "-Command"]

cargo := require("cargo") # Not found? Install Rust, which brings it: https://rustup.rs
lessons := '^(0|1|2|3|4|5|6)$'
no-lesson := "echo 'There is no lesson with that number. There are: 0, The open wire; 1, HTTPS with reqwest; 2, TLS sockets; 3, Data encryption; 4, Authentication with tokens; 5, The sealed mailbox; 6, Services that know each other.'; exit 1"

# List the lessons and the recipes
[unix]
default:
    @echo "Lessons: just lesson N runs one, just lesson N PART a part of it"
    @echo "    0  The open wire"
    @echo "    1  HTTPS with reqwest"
    @echo "    2  TLS sockets"
    @echo "    3  Data encryption"
    @echo "    4  Authentication with tokens"
    @echo "    5  The sealed mailbox"
    @echo "    6  Services that know each other"
    @echo ""
    @{{ quote(just_executable()) }} --justfile {{ quote(justfile()) }} --list --unsorted

# List the lessons and the recipes
[windows]
default:
    @echo "Lessons: just lesson N runs one, just lesson N PART a part of it"
    @echo "    0  The open wire"
    @echo "    1  HTTPS with reqwest"
    @echo "    2  TLS sockets"
    @echo "    3  Data encryption"
    @echo "    4  Authentication with tokens"
    @echo "    5  The sealed mailbox"
    @echo "    6  Services that know each other"
    @echo ""
    @& {{ quote(just_executable()) }} --justfile {{ quote(justfile()) }} --list --unsorted

# Run lesson N, or a PART of it by name or number; also --list, --pause, --predict, --help
[no-exit-message, positional-arguments, unix]
@lesson N *PART:
    {{ if N =~ lessons { "shift; cargo run --bin lesson-" + N + ' -- "$@"' } else { no-lesson } }}

# Run lesson N, or a PART of it by name or number; also --list, --pause, --predict, --help
[no-exit-message, windows]
lesson N *PART:
    @{{ if N =~ lessons { "cargo run --bin lesson-" + N + " -- " + PART } else { no-lesson } }}

# List the exercises, or put your answer to exercise N.M on trial; also --watch, --hint, --solution, --reset
[no-exit-message, positional-arguments, unix]
@exercise *NUMBER:
    cargo run --quiet --package exercise -- "$@"

# List the exercises, or put your answer to exercise N.M on trial; also --watch, --hint, --solution, --reset
[no-exit-message, windows]
exercise *NUMBER:
    @cargo run --quiet --package exercise -- {{ NUMBER }}

# Run the mailbox server of lesson 5; --help says how
[no-exit-message, positional-arguments, unix]
@server *FLAGS:
    cargo run --bin mailbox-server -- "$@"

# Run the mailbox server of lesson 5; --help says how
[no-exit-message, windows]
server *FLAGS:
    @cargo run --bin mailbox-server -- {{ FLAGS }}

# Use the mailbox: register NAME, send NAME TEXT, read; --help says how
[no-exit-message, positional-arguments, unix]
@client *WORDS:
    cargo run --bin mailbox -- "$@"

# Use the mailbox: register NAME, send NAME TEXT, read; --help says how
[no-exit-message, windows]
client *WORDS:
    @cargo run --bin mailbox -- {{ WORDS }}

# Write the take-home crate NAME into FOLDER; without them, list the crates
[no-cd, no-exit-message, positional-arguments, unix]
@take *NAME_FOLDER:
    cargo run --manifest-path {{ quote(justfile_directory() / "Cargo.toml") }} --bin take -- "$@"

# Write the take-home crate NAME into FOLDER; without them, list the crates
[no-cd, no-exit-message, windows]
take *NAME_FOLDER:
    @cargo run --manifest-path {{ quote(justfile_directory() / "Cargo.toml") }} --bin take -- {{ NAME_FOLDER }}

# One archive for a USB stick: the course, its crates and its book; into target/bundle, or into FOLDER
[no-exit-message, positional-arguments, unix]
@bundle *FOLDER:
    cargo run --quiet --bin bundle -- "$@"

# One archive for a USB stick: the course, its crates and its book; into target/bundle, or into FOLDER
[no-exit-message, windows]
bundle *FOLDER:
    @cargo run --quiet --bin bundle -- {{ FOLDER }}

# Whether this machine is ready for the course, also without internet
[no-exit-message]
doctor:
    @cargo run --quiet --offline --manifest-path shared/doctor/Cargo.toml --target-dir target/doctor

# An agenda for a workshop of 3h (or 90m, 1d, 2d); also --lessons 1,2 and --start 9:30
[no-exit-message, positional-arguments, unix]
@schedule *WORDS:
    cargo run --quiet --package exercise --bin schedule -- "$@"

# An agenda for a workshop of 3h (or 90m, 1d, 2d); also --lessons 1,2 and --start 9:30
[no-exit-message, windows]
schedule *WORDS:
    @cargo run --quiet --package exercise --bin schedule -- {{ WORDS }}

# Build the book and open it
[no-exit-message, positional-arguments, unix]
@book *FLAGS:
    cargo run --bin book -- "$@"

# Build the book and open it
[no-exit-message, windows]
book *FLAGS:
    @cargo run --bin book -- {{ FLAGS }}

# Run every test; foreign peers where they are found
test:
    cargo test

# Run every test; a missing foreign peer fails
[unix]
test-peers:
    REQUIRE_PEERS=1 cargo test

# Run every test; a missing foreign peer fails
[windows]
test-peers:
    $env:REQUIRE_PEERS=1; cargo test

# Check the format, and deny every warning of clippy
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --all-features -- -D warnings

# Accept what the lessons print now, and what crates they bring; then read git add -N . and git diff
[unix]
snapshots:
    INSTA_UPDATE=always cargo test --test all -- transcript troubleshooting crates_of_its_list

# Accept what the lessons print now, and what crates they bring; then read git add -N . and git diff
[windows]
snapshots:
    $env:INSTA_UPDATE="always"; cargo test --test all -- transcript troubleshooting crates_of_its_list

# Measure lesson N (2, 3, 4, 5, 6) next to bare programs of its kind
[no-exit-message]
bench N:
    @{{ if N =~ '^[23456]$' { "cargo bench --bench lesson-" + N + "-bench" } else { "echo 'There is no bench with that number. There are: 2, 3, 4, 5, 6.'; exit 1" } }}

# Fetch all that a build needs, for work without internet
fetch:
    cargo fetch --locked
