//! The file system: reading, finding specs, the place of snapshots, writing.

use super::{Failure, Specs};
use crate::front::notation_of;
use crate::source::Loader;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

/// Reads files as they are on the disk.
#[derive(Debug)]
pub struct Disk;

impl Loader for Disk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send + '_>> {
        let file = fs::File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
        }
        Ok(Box::new(io::BufReader::with_capacity(1 << 16, file)))
    }
}

impl Specs {
    /// The named files, and all specs in the named folders, in the order of their paths.
    ///
    /// # Errors
    /// If there is none at all.
    pub fn find(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut found = Vec::new();
        for path in &self.paths {
            if path.is_dir() {
                walk(path, &mut |file| {
                    if is_spec(file) {
                        found.push(file.to_owned());
                    }
                });
            } else {
                found.push(path.clone());
            }
        }
        found.sort();
        found.dedup();
        if found.is_empty() {
            let searched: Vec<String> = self.paths.iter().map(|path| path.display().to_string()).collect();
            return Err(format!("no spec (.nn or .nn.yaml) in {}", searched.join(", ")).into());
        }
        Ok(found)
    }

    /// Whether a spec was named itself, and not found in a folder.
    #[must_use]
    pub fn names(&self, path: &Path) -> bool {
        self.paths.iter().any(|named| named == path)
    }

    /// The folders that were named.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.paths.iter().map(PathBuf::as_path).filter(|path| path.is_dir())
    }
}

fn is_spec(path: &Path) -> bool {
    path.file_name().is_some_and(|name| notation_of(&name.to_string_lossy()).is_some())
}

/// Visits the files below a folder in the order of their names; hidden folders and build output are left out.
pub fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        // Links to folders are not followed: they could form a circle.
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => walk(&path, visit),
            Ok(_) => visit(&path),
            Err(_) => {}
        }
    }
}

/// Where the snapshot of a spec is: in `snapshots/` under the project's root, path for path, else beside the spec.
#[must_use]
pub fn snapshot_path(spec: &Path) -> PathBuf {
    let mut name = spec.file_name().unwrap_or_default().to_owned();
    name.push(".graph");
    match root(spec) {
        Some((root, inside)) => root.join("snapshots").join(inside).with_file_name(name),
        None => spec.with_file_name(name),
    }
}

/// The project's root above a file (the nearest folder with `wellposed.toml`, else the nearest with `specs/` and `snapshots/`),
/// and the file's path below it, without a leading `specs`.
fn root(file: &Path) -> Option<(PathBuf, PathBuf)> {
    let full = std::path::absolute(file).ok()?;
    let marked = |folder: &&Path| folder.join("wellposed.toml").is_file();
    let shaped = |folder: &&Path| folder.join("specs").is_dir() && folder.join("snapshots").is_dir();
    let found = full.ancestors().skip(1).find(marked).or_else(|| full.ancestors().skip(1).find(shaped))?;
    let inside = full.strip_prefix(found).ok()?;
    let inside = inside.strip_prefix("specs").unwrap_or(inside).to_owned();
    Some((relative(found), inside))
}

/// A folder as seen from the working directory, where it lies at or below it: messages then hold no paths of the machine.
fn relative(folder: &Path) -> PathBuf {
    let here = std::env::current_dir().ok();
    match here.and_then(|here| folder.strip_prefix(here).map(Path::to_owned).ok()) {
        Some(inside) => inside,
        None => folder.to_owned(),
    }
}

/// The snapshots below the places that mirror a folder of specs, and the spec that each belongs to.
#[must_use]
pub fn snapshots_of(folder: &Path) -> Vec<(PathBuf, PathBuf)> {
    let Some((root, inside)) = root(&folder.join("any.nn")) else { return Vec::new() };
    let inside = inside.parent().map(Path::to_owned).unwrap_or_default();
    let mut found = Vec::new();
    walk(&root.join("snapshots").join(&inside), &mut |file| {
        let Some(name) =
            file.file_name().and_then(|name| name.to_str()?.strip_suffix(".graph").map(str::to_owned))
        else {
            return;
        };
        let Ok(below) = file.strip_prefix(root.join("snapshots")) else { return };
        let spec = ["specs", ""]
            .iter()
            .map(|top| root.join(top).join(below).with_file_name(&name))
            .find(|spec| spec.is_file())
            .unwrap_or_else(|| root.join("specs").join(below).with_file_name(&name));
        found.push((file.to_owned(), spec));
    });
    found
}

/// Replaces a file as a whole: a reader sees the old text or the new one.
///
/// # Errors
/// If it cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure(format!("{} cannot be written: {error}", path.display()));
    if let Some(folder) =
        path.parent().filter(|folder| folder.components().any(|part| part != Component::CurDir))
    {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let written = fs::File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&temporary, path)).map_err(|error| {
        let _ = fs::remove_file(&temporary);
        failed(error)
    })
}
