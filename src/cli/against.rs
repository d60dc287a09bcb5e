//! The program of `gradcheck --against`: its folder, its run, its end.
//!
//! Contract: the folder is made fresh and removed, unless it was named with `--keep`. The program runs in a process group of its own, which is
//! killed as a whole when the time is over. What it prints goes to files of the folder, so that a program that prints much cannot
//! block, and one that leaves a child behind cannot hold us up.

use crate::valid::against::{Fault, Foreign, Request};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A command of the shell.
#[derive(Debug)]
pub struct Program {
    line: String,
    limit: Duration,
    keep: Option<PathBuf>,
    /// Why it could not be run, if it could not.
    failed: Mutex<Option<String>>,
}

/// A folder that goes when it is done with.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    stays: bool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.stays {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

impl Folder {
    fn new(keep: Option<&Path>) -> io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if let Some(path) = keep {
            fs::create_dir_all(path)?;
            return Ok(Self { path: std::path::absolute(path)?, stays: true });
        }
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("wellposed-against-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path, stays: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// How a run ended.
enum End {
    Status(ExitStatus),
    Late,
}

impl Program {
    pub fn new(line: &str, limit: Duration, keep: Option<&Path>) -> Self {
        Self { line: line.to_owned(), limit, keep: keep.map(Path::to_owned), failed: Mutex::new(None) }
    }

    /// Why the program could not be run at all.
    pub fn failure(&self) -> Option<String> {
        self.failed.lock().map_or(None, |failed| failed.clone())
    }

    fn cannot(&self, message: String) -> Fault {
        if let Ok(mut failed) = self.failed.lock() {
            *failed = Some(message.clone());
        }
        Fault { message, stderr: String::new(), help: None }
    }

    fn start(&self, folder: &Path) -> io::Result<Child> {
        let mut command = if cfg!(windows) {
            let mut command = Command::new("cmd");
            command.arg("/C").arg(format!("{} \"{}\"", self.line, folder.display()));
            command
        } else {
            let mut command = Command::new("sh");
            command.arg("-c").arg(format!("{} \"$@\"", self.line)).arg("sh").arg(folder);
            command
        };
        command
            .env("WELLPOSED_FOLDER", folder)
            .stdin(Stdio::null())
            .stdout(File::create(folder.join("stdout.txt"))?)
            .stderr(File::create(folder.join("stderr.txt"))?);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn()
    }

    fn wait(&self, child: &mut Child) -> io::Result<End> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(End::Status(status));
            }
            let left = self.limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                kill(child);
                child.wait()?;
                return Ok(End::Late);
            }
            thread::sleep(pause.min(left));
            pause = (2 * pause).min(Duration::from_millis(20));
        }
    }
}

/// Ends a program and all that it has started.
fn kill(child: &mut Child) {
    if cfg!(unix) {
        let group = format!("-{}", child.id());
        let _ = Command::new("kill")
            .args(["-KILL", "--", &group])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
    let _ = child.kill();
}

/// The last lines of what a program wrote to stderr.
fn tail(folder: &Path) -> String {
    let bytes = fs::read(folder.join("stderr.txt")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

impl Foreign for Program {
    fn answer(&self, request: &Request) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        let folder = Folder::new(self.keep.as_deref())
            .map_err(|error| self.cannot(format!("no folder can be made for the request: {error}")))?;
        let here = folder.path.as_path();
        for (name, bytes) in &request.files {
            fs::write(here.join(name), bytes)
                .map_err(|error| self.cannot(format!("the request cannot be written: {name}: {error}")))?;
        }
        for name in &request.answers {
            // An answer of an earlier run in a folder that is kept.
            let _ = fs::remove_file(here.join(name));
        }
        let cannot = |error: io::Error| self.cannot(format!("`{}` cannot be run: {error}", self.line));
        let mut child = self.start(here).map_err(cannot)?;
        let end = self.wait(&mut child).map_err(cannot)?;
        match end {
            End::Status(status) if status.success() => {}
            // What the shell says of a command that is not there or no program.
            End::Status(status) if matches!(status.code(), Some(126 | 127)) => {
                return Err(self.cannot(format!("`{}` cannot be run: {}", self.line, tail(here))));
            }
            End::Status(status) => {
                let message = format!("`{}` ended with {status}", self.line);
                let help =
                    "an error of the program; run it by itself on a folder that `--keep FOLDER` leaves";
                return Err(Fault { message, stderr: tail(here), help: Some(help.to_owned()) });
            }
            End::Late => {
                let seconds = self.limit.as_secs_f64();
                let message = format!("`{}` took longer than {seconds} s and was ended", self.line);
                let help = Some("give it longer with `--time-limit SECONDS`".to_owned());
                return Err(Fault { message, stderr: tail(here), help });
            }
        }
        Ok(request.answers.iter().map(|name| fs::read(here.join(name)).ok()).collect())
    }
}
