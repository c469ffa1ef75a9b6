//! Finds the programs of an installed Postgres, wherever its packagers put them.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::Error;

/// The oldest version that we are tested with.
pub(super) const OLDEST: u32 = 15;

const PROGRAMS: [&str; 4] = ["postgres", "initdb", "pg_ctl", "psql"];

/// Where versions are installed side by side: a directory, the beginning of a name before the version, the rest.
const VERSIONED: [(&str, &str, &str); 5] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// A directory that holds all the programs we need, of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    dir: PathBuf,
}

impl Binaries {
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// The programs in the `named` directory, else the first that fit of `pg_config --bindir`, `PATH` and the usual places.
///
/// `wanted` is the major version that made the cluster in `data`, which no other can open.
pub(super) fn find(named: Option<&Path>, wanted: Option<u32>, data: &Path) -> Result<Binaries, Error> {
    let candidates = named.map_or_else(candidates, |dir| vec![dir.to_owned()]);
    let mut unfit = Error::NotInstalled;
    for dir in candidates {
        let found = match version_in(&dir) {
            Ok(found) => found,
            Err(program) => {
                if named.is_some() {
                    unfit = Error::Incomplete { dir, program };
                }
                continue;
            }
        };
        match wanted {
            Some(wanted) if wanted != found => {
                unfit = Error::OtherVersion { data: data.to_owned(), wanted, dir, found };
            }
            None if found < OLDEST => unfit = Error::TooOld { dir, found },
            _ => return Ok(Binaries { dir }),
        }
    }
    Err(unfit)
}

/// A program in the `named` directory or in the places where [`find`] looks, of at least this version.
pub(super) fn client(named: Option<&Path>, program: &'static str, least: u32) -> Result<PathBuf, Error> {
    let mut dirs = named.map_or_else(candidates, |dir| vec![dir.to_owned()]);
    if named.is_none() {
        // Where no server is installed, its clients may be.
        dirs.extend(directories(env::var_os("PATH").as_deref()));
    }
    let mut programs = dirs.into_iter().map(|dir| dir.join(program));
    programs.find(|program| version_of(program).is_some_and(|version| version >= least)).ok_or(Error::NoClient { program, least })
}

/// Whether a shell would find the program.
pub(super) fn is_in_path(program: &str) -> bool {
    directories(env::var_os("PATH").as_deref()).any(|dir| dir.join(program).is_file())
}

fn candidates() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = pg_config().into_iter().collect();
    // Distributions put links into PATH; the programs find each other beside the link's target.
    dirs.extend(
        directories(env::var_os("PATH").as_deref())
            .filter_map(|dir| fs::canonicalize(dir.join("postgres")).ok())
            .filter_map(|program| program.parent().map(Path::to_owned)),
    );
    dirs.extend(VERSIONED.iter().flat_map(|(parent, prefix, rest)| versions(Path::new(parent), prefix, rest)));
    dirs
}

fn directories(path: Option<&OsStr>) -> impl Iterator<Item = PathBuf> {
    env::split_paths(path.unwrap_or_default()).filter(|dir| dir.is_absolute())
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output().ok()?;
    let dir = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| dir.trim().into())
}

/// The versions installed in `parent`, the highest first.
fn versions(parent: &Path, prefix: &str, rest: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join(rest)))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, dir)| dir).collect()
}

/// The major version of a complete set of programs, or the program that is missing or does not run.
fn version_in(dir: &Path) -> Result<u32, &'static str> {
    if let Some(missing) = PROGRAMS.into_iter().find(|program| !dir.join(program).is_file()) {
        return Err(missing);
    }
    version_of(&dir.join("postgres")).ok_or("postgres")
}

fn version_of(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    major(&String::from_utf8_lossy(&output.stdout))
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` is 15, `postgres (PostgreSQL) 19beta1` is 19.
fn major(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL) ")?.1;
    let end = number.find(|character: char| !character.is_ascii_digit()).unwrap_or(number.len());
    number[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_what_postgres_prints() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(major("postgres (PostgreSQL) 18"), Some(18));
        assert_eq!(major("mysqld 8.0"), None);
        assert_eq!(major(""), None);
    }

    #[test]
    fn the_highest_version_comes_first_by_number() {
        let parent = env::temp_dir().join(format!("ires-chat-versions-{}", std::process::id()));
        for name in ["pg-9", "pg-15", "pg-100", "pg-x", "other"] {
            fs::create_dir_all(parent.join(name)).unwrap();
        }
        let expected = ["pg-100/bin", "pg-15/bin", "pg-9/bin"].map(|name| parent.join(name));
        let found = versions(&parent, "pg-", "bin");
        fs::remove_dir_all(&parent).unwrap();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_absent_directory_has_no_versions() {
        assert_eq!(versions(Path::new("/nowhere/at/all"), "", "bin"), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_named_directory_without_the_programs_is_refused_by_name() {
        let error = find(Some(Path::new("/nowhere")), None, Path::new("/data")).unwrap_err();
        assert_eq!(error.to_string(), "/nowhere (CHAT_PG_BIN) has no working `postgres`: name the directory that holds Postgres's programs");
    }

    #[test]
    fn only_absolute_entries_of_the_path_are_searched() {
        let found: Vec<PathBuf> = directories(Some(OsStr::new("/a:b::/c"))).collect();
        assert_eq!(found, [PathBuf::from("/a"), PathBuf::from("/c")]);
    }
}
