//! The program `wellposed`. Everything is in the library.

fn main() -> std::process::ExitCode {
    wellposed::cli::main()
}
