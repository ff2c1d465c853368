//! The `probekeeper` binary.

use std::process::ExitCode;

use clap::Parser;
use probekeeper::cli::serve::{self, ServeArgs};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(version)]
enum Command {
    Serve(ServeArgs),
}

fn main() -> ExitCode {
    let Command::Serve(args) = Command::parse();
    serve::run(&args).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}
