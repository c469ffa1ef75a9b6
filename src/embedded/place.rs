//! Where a cluster lives, and as whom it runs: Postgres refuses root, so root hands over to another user.

use std::{
    fs::{self, DirBuilder, Permissions},
    io::ErrorKind,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown},
        process::CommandExt,
    },
    path::{self, Path, PathBuf},
    process::{self, Command, Stdio},
};

use rustix::process::geteuid;
use sha2::{Digest, Sha256};

use super::Error;

/// Where a cluster goes when root asks for a place that no other user can reach, such as one below `/root`.
const FALLBACK: &str = "/var/lib/ires-chat";

/// How the names of clusters begin that are not complete yet.
const HALF_MADE: &str = "data.new-";

/// Socket paths end with this, and together with a closing NUL they fit into 104 bytes (macOS; Linux has 108).
const LONGEST_SOCKET_DIR: usize = 104 - "/.s.PGSQL.5432".len() - 1;

/// The user who runs Postgres when we are root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    uid: u32,
    gid: u32,
}

/// The directories of one cluster.
#[derive(Debug)]
pub(super) struct Place {
    /// Lock, log, data and, if its path is short enough, the socket.
    pub(super) home: PathBuf,
    pub(super) data: PathBuf,
    pub(super) socket: PathBuf,
    /// `None`: Postgres runs as we do.
    pub(super) account: Option<Account>,
}

impl Place {
    /// Makes the directory `dir`, or finds another when the account cannot reach it.
    pub(super) fn find(dir: &Path) -> Result<Self, Error> {
        let mut home = path::absolute(dir).map_err(Error::io("find", dir))?;
        let mut account = None;
        if geteuid().is_root() {
            let mut chosen = Account::for_data(&home.join("data"))?;
            if !chosen.can_enter(nearest_above(&home)) {
                let fallback = Path::new(FALLBACK);
                home = fallback.join(digest(&home));
                fs::create_dir_all(fallback).map_err(Error::io("make", fallback))?;
                let permissions = fs::set_permissions(fallback, Permissions::from_mode(0o711));
                permissions.map_err(Error::io("open", fallback))?;
                chosen = Account::for_data(&home.join("data"))?;
            }
            account = Some(chosen);
        }
        fs::create_dir_all(&home).map_err(Error::io("make", &home))?;
        // One cluster has one name, whichever links led to it.
        let home = fs::canonicalize(&home).map_err(Error::io("find", &home))?;
        let owner = fs::metadata(&home).map_err(Error::io("read", &home))?.uid();
        if account.is_none() && owner != geteuid().as_raw() {
            return Err(Error::NotYours { path: home, owner });
        }
        // The account needs to pass through; everything inside has permissions of its own.
        let mode = if account.is_some() { 0o711 } else { 0o700 };
        fs::set_permissions(&home, Permissions::from_mode(mode)).map_err(Error::io("protect", &home))?;
        Ok(Self { data: home.join("data"), socket: socket_dir(&home), home, account })
    }

    /// The major version of Postgres that made the data, if there are any.
    pub(super) fn version(&self) -> Result<Option<u32>, Error> {
        let Ok(metadata) = fs::metadata(&self.data) else {
            return Ok(None);
        };
        let us = self.account.map_or_else(|| geteuid().as_raw(), |account| account.uid);
        if metadata.uid() != us {
            return Err(Error::NotYours { path: self.data.clone(), owner: metadata.uid() });
        }
        match fs::read_to_string(self.data.join("PG_VERSION")).map(|version| version.trim().parse()) {
            Ok(Ok(version)) => Ok(Some(version)),
            _ => Err(Error::NotACluster { path: self.data.clone() }),
        }
    }

    /// Where this process makes a cluster. No other process that was killed while it made one has its `initdb`, which
    /// goes on for a moment, write here.
    pub(super) fn half_made(&self) -> PathBuf {
        self.home.join(format!("{HALF_MADE}{}", process::id()))
    }

    /// Removes what processes that were killed have left half made, as far as it can be removed yet.
    pub(super) fn remove_half_made(&self) {
        for entry in fs::read_dir(&self.home).into_iter().flatten().flatten() {
            if entry.file_name().as_bytes().starts_with(HALF_MADE.as_bytes()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    pub(super) fn make_socket_dir(&self) -> Result<(), Error> {
        make_private_dir(&self.socket, self.account)
    }

    /// Removes what stands outside of `home`.
    pub(super) fn remove_socket_dir(&self) {
        if !self.socket.starts_with(&self.home) {
            // Another process may have left something in it; then it stays.
            let _ = fs::remove_dir(&self.socket);
        }
    }

    /// A program of Postgres, as the right user and with nothing of ours: no variables, no input, no directory that
    /// would keep a file system busy, and a process group of its own, so that a Ctrl-C at the terminal reaches us
    /// and not the server, which we stop in order.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LC_ALL", "C").current_dir("/").stdin(Stdio::null()).process_group(0);
        if let Some(account) = self.account {
            command.uid(account.uid).gid(account.gid);
        }
        command
    }
}

impl Account {
    /// The owner of the data if there are any, else `postgres`, else `nobody`.
    fn for_data(data: &Path) -> Result<Self, Error> {
        if let Ok(metadata) = fs::metadata(data) {
            return if metadata.uid() == 0 {
                Err(Error::BelongsToRoot { path: data.to_owned() })
            } else {
                Ok(Self { uid: metadata.uid(), gid: metadata.gid() })
            };
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "nobody"].iter().find_map(|name| Self::in_passwd(&users, name)).ok_or(Error::NoAccount)
    }

    /// Reads a line `name:password:uid:gid:…`.
    fn in_passwd(users: &str, name: &str) -> Option<Self> {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2).map(str::parse);
        let (uid, gid) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        (uid != 0).then_some(Self { uid, gid })
    }

    /// Whether the account can pass through the directory and all above it. The system is asked, because permission
    /// bits are not all there is.
    fn can_enter(self, dir: &Path) -> bool {
        Command::new("/bin/sh")
            .args(["-c", "cd -- \"$1\"", "sh"])
            .arg(dir)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .uid(self.uid)
            .gid(self.gid)
            .status()
            .is_ok_and(|status| status.success())
    }
}

/// Makes a directory that only its owner, the account, can enter, or checks that one is so.
pub(super) fn make_private_dir(dir: &Path, account: Option<Account>) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(Error::io("make", dir)(error));
        }
        _ => {}
    }
    // In `/tmp` the name could have been taken by somebody else, with a link or a directory of theirs.
    let metadata = fs::symlink_metadata(dir).map_err(Error::io("read", dir))?;
    let (us, owner) = (geteuid().as_raw(), metadata.uid());
    let is_ours = owner == us || account.is_some_and(|account| account.uid == owner);
    if !metadata.is_dir() || !is_ours || metadata.mode() & 0o077 != 0 {
        return Err(Error::Exposed { path: dir.to_owned() });
    }
    account.map_or(Ok(()), |account| lchown(dir, Some(account.uid), Some(account.gid)).map_err(Error::io("hand over", dir)))
}

fn socket_dir(home: &Path) -> PathBuf {
    let beside = home.join("socket");
    match beside.to_str() {
        Some(path) if path.len() <= LONGEST_SOCKET_DIR => beside,
        _ => Path::new("/tmp").join(format!("ires-chat-{}", digest(home))),
    }
}

/// A short name for a long path.
fn digest(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    let start = digest.iter().take(8).fold(0, |start: u64, &byte| start << 8 | u64::from(byte));
    format!("{start:016x}")
}

/// The directory in which the path is, or will be made. (The last part gets permissions of its own.)
fn nearest_above(path: &Path) -> &Path {
    let mut above = path.ancestors().skip(1);
    above.find(|path| path.exists()).unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65533:nobody:/:/bin/false\nbad:x:a:b::\n";

    #[test]
    fn an_account_is_read_from_the_list_of_users() {
        assert_eq!(Account::in_passwd(USERS, "nobody"), Some(Account { uid: 65534, gid: 65533 }));
        assert_eq!(Account::in_passwd(USERS, "nobod"), None);
        assert_eq!(Account::in_passwd(USERS, "bad"), None);
    }

    #[test]
    fn root_is_never_the_account() {
        assert_eq!(Account::in_passwd(USERS, "root"), None);
    }

    #[test]
    fn a_socket_stands_beside_the_data_while_its_path_is_short_enough() {
        assert_eq!(socket_dir(Path::new("/srv/chat")), Path::new("/srv/chat/socket"));
        let longest = format!("/{}", "x".repeat(LONGEST_SOCKET_DIR - "//socket".len()));
        assert!(socket_dir(Path::new(&longest)).starts_with(&longest));
        assert!(!socket_dir(Path::new(&format!("{longest}x"))).starts_with(&longest));
    }

    #[test]
    fn long_paths_have_short_sockets_of_their_own() {
        let [one, two] = ["a", "b"].map(|end| PathBuf::from(format!("/{}{end}", "x".repeat(120))));
        assert_ne!(socket_dir(&one), socket_dir(&two));
        assert_eq!(socket_dir(&one), socket_dir(&one));
        assert!(socket_dir(&one).as_os_str().len() < LONGEST_SOCKET_DIR);
    }
}
