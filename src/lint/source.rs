//! Which files to read: paths as a person gives them, folders searched, chart templates left alone.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::report::Failure;

/// What to read, in the order of the report.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Each file once.
    pub inputs: Vec<Input>,
    /// Paths that lead nowhere.
    pub failures: Vec<Failure>,
    /// Chart templates that were found in folders: they are not YAML before they are rendered.
    pub skipped_templates: usize,
    /// How many inputs have been parsed, which is most of the work; it counts up during a run.
    pub taken: Arc<AtomicUsize>,
}

/// One text to read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Input {
    /// Given as `-`.
    Stdin,
    /// A regular file, pipe or the like, given by name.
    Named(PathBuf),
    /// A file in a folder that was given.
    Found(PathBuf),
}

/// The largest file that is read, in bytes. etcd stores objects of 1.5 MiB; a whole cluster's dump stays below this.
const MAX_FILE_BYTES: u64 = 256 << 20;

const RENDER_FIRST: &str =
    "this is a chart template, not YAML: render it first, as in `helm template CHART | probekeeper lint -`";

impl Inputs {
    /// Finds the files that the paths of a command line mean.
    pub fn collect<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Self {
        let mut inputs = Self::default();
        let mut charts = Charts::default();
        for path in paths {
            inputs.add(path.as_ref(), &mut charts);
        }
        let mut seen = HashSet::new();
        inputs.inputs.retain(|input| seen.insert(input.name()));
        inputs
    }

    fn add(&mut self, path: &Path, charts: &mut Charts) {
        if path == Path::new("-") {
            return self.inputs.push(Input::Stdin);
        }
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) => return self.failures.push(Failure::of(shown(path), reason(&error))),
        };
        // Inside a template folder nothing is left to skip: whoever names it wants an answer.
        if charts.holds_template(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()), metadata.is_dir()) {
            return self.failures.push(Failure::of(shown(path), RENDER_FIRST));
        }
        if metadata.is_dir() { self.search(path, charts) } else { self.inputs.push(Input::Named(path.to_owned())) }
    }

    fn search(&mut self, folder: &Path, charts: &mut Charts) {
        let walk = ignore::WalkBuilder::new(folder)
            // A .gitignore counts in an unpacked archive too.
            .require_git(false)
            .sort_by_file_name(Ord::cmp)
            .build();
        for entry in walk {
            match entry {
                Ok(entry) => {
                    let is_file = entry.file_type().is_some_and(|kind| !kind.is_dir());
                    let path = entry.into_path();
                    if !is_file || !is_manifest(&path) {
                        continue;
                    }
                    if charts.holds_template(&path, false) {
                        self.skipped_templates += 1;
                    } else {
                        self.inputs.push(Input::Found(path.strip_prefix(".").map(Path::to_owned).unwrap_or(path)));
                    }
                }
                Err(error) => self.failures.push(failure_of(folder, &error)),
            }
        }
    }
}

impl Input {
    /// How it is called in a report.
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::Named(path) | Self::Found(path) => shown(path),
        }
    }

    pub(super) fn read(&self) -> Result<String, Failure> {
        let mut bytes = Vec::new();
        let read = match self {
            Self::Stdin => io::stdin().lock().take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes),
            Self::Named(path) | Self::Found(path) => fs::File::open(path).and_then(|file| {
                bytes.reserve(
                    file.metadata().map_or(0, |metadata| usize::try_from(metadata.len().min(MAX_FILE_BYTES)).unwrap_or(0)),
                );
                file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)
            }),
        };
        read.map_err(|error| Failure::of(self.name(), reason(&error)))?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(Failure::of(self.name(), format!("larger than {} MiB: split it", MAX_FILE_BYTES >> 20)));
        }
        String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let before = String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or_default());
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            Failure::at(&self.name(), line, column, "not UTF-8 text: save the file as UTF-8".to_owned())
        })
    }
}

/// Remembers which `templates` folders stand beside a Chart.yaml.
#[derive(Default)]
struct Charts {
    known: HashMap<PathBuf, bool>,
}

impl Charts {
    /// Whether the path is a chart template or in a folder of them.
    fn holds_template(&mut self, path: &Path, is_folder: bool) -> bool {
        let folder = if is_folder { Some(path) } else { path.parent() };
        folder.into_iter().flat_map(Path::ancestors).any(|folder| {
            folder.file_name().is_some_and(|name| name == "templates")
                && *self
                    .known
                    .entry(folder.to_owned())
                    .or_insert_with(|| folder.parent().is_some_and(|chart| chart.join("Chart.yaml").is_file()))
        })
    }
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// Slashes everywhere, so that reports compare across machines.
fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    if std::path::MAIN_SEPARATOR == '/' { text.into_owned() } else { text.replace(std::path::MAIN_SEPARATOR, "/") }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or(&text);
            format!("cannot be read: {text}")
        }
    }
}

fn failure_of(folder: &Path, error: &ignore::Error) -> Failure {
    match error {
        ignore::Error::WithPath { path, err } => failure_of(path, err),
        ignore::Error::WithDepth { err, .. } => failure_of(folder, err),
        ignore::Error::Io(error) => Failure::of(shown(folder), reason(error)),
        other => Failure::of(shown(folder), other.to_string()),
    }
}
