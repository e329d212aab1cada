//! UNIX sockets to listen on, and their files. The kernel does not spread their connections over
//! sockets of one name, as it does for a port: so there is one, and every worker accepts from it.

use std::{
    fmt, fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    os::{
        linux::{fs::MetadataExt, net::SocketAddrExt},
        unix::{
            fs::{FileTypeExt, PermissionsExt},
            net::{SocketAddr, UnixListener},
        },
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, SockAddr, Socket, Type};

use super::{listener::AFTERLIFE, start::StartError};

/// A UNIX socket that is to be listened on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixAddress {
    /// Of its file; not longer than [`PATH_LEN_MAX`].
    pub path: PathBuf,
    /// The permissions of the file, which say who may connect. `None`: what the umask leaves.
    pub mode: Option<u32>,
}

/// What the kernel takes, with room for what a file is called before it is in its place.
pub const PATH_LEN_MAX: usize = 107 - BESIDE.len();

const BESIDE: &str = ".new";

impl fmt::Display for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix:{}", self.path.display())
    }
}

/// The file of a socket; removed when this is dropped, unless another one is in its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    is: (u64, u64),
}

impl SocketFile {
    fn new(path: PathBuf) -> io::Result<Self> {
        let is = Self::identity(&path)?;
        Ok(SocketFile { path, is })
    }

    fn identity(path: &Path) -> io::Result<(u64, u64)> {
        let metadata = fs::symlink_metadata(path)?;
        Ok((metadata.st_dev(), metadata.st_ino()))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if Self::identity(&self.path).is_ok_and(|is| is == self.is) {
            // Whoever starts next removes what could not be removed.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A socket that is bound, with a file beside the place where it is to be: so that nobody finds it
/// before it listens and has its permissions, and a hub that lives is never robbed of its own.
pub(super) struct Claim {
    address: UnixAddress,
    /// Keeps a second start out until this one listens.
    _lock: UnixListener,
    socket: Socket,
    file: SocketFile,
}

impl Claim {
    pub(super) fn new(address: &UnixAddress) -> Result<Self, StartError> {
        let failed = |source| StartError::Unix { address: address.clone(), source };
        let lock = lock(&address.path).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => StartError::UnixInUse { address: address.clone() },
            _ => failed(source),
        })?;
        check_place(address)?;
        let mut beside = address.path.clone().into_os_string();
        beside.push(BESIDE);
        let beside = PathBuf::from(beside);
        if fs::symlink_metadata(&beside).is_ok_and(|there| there.file_type().is_socket()) {
            // Of a hub that was killed while it started.
            fs::remove_file(&beside).map_err(failed)?;
        }
        let bind = || {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            socket.bind(&SockAddr::unix(&beside)?)?;
            let file = SocketFile::new(beside.clone())?;
            if let Some(mode) = address.mode {
                fs::set_permissions(&beside, fs::Permissions::from_mode(mode))?;
            }
            Ok((socket, file))
        };
        let (socket, file) = bind().map_err(failed)?;
        Ok(Claim { address: address.clone(), _lock: lock, socket, file })
    }

    /// Listens, and puts the file in its place. `backlog`: connections that may wait.
    pub(super) fn open(self, backlog: i32) -> Result<(UnixListener, SocketFile), StartError> {
        let Claim { address, socket, mut file, .. } = self;
        check_place(&address)?;
        let listen = || {
            socket.listen(backlog)?;
            fs::rename(&file.path, &address.path)
        };
        listen().map_err(|source| StartError::Unix { address: address.clone(), source })?;
        file.path = address.path;
        Ok((socket.into(), file))
    }
}

/// That there is nothing, or the socket of somebody who does not live any more.
fn check_place(address: &UnixAddress) -> Result<(), StartError> {
    let address = || address.clone();
    let path = address().path;
    let failed = |source| Err(StartError::Unix { address: address(), source });
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return failed(error),
        Ok(there) if !there.file_type().is_socket() => {
            return Err(StartError::UnixTaken { address: address() });
        }
        Ok(_) => {}
    }
    let until = Instant::now() + AFTERLIFE;
    loop {
        match connect(&path) {
            Err(error) if is_nobody(&error) => return Ok(()),
            // One whose queue is full lives as well.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return failed(error),
            _ if Instant::now() >= until => {
                return Err(StartError::UnixInUse { address: address() });
            }
            _ => thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

fn connect(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

/// A name for the path, by whatever links it is given, that one process can have.
fn lock(path: &Path) -> io::Result<UnixListener> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let mut hasher = DefaultHasher::new();
    fs::canonicalize(parent)?.hash(&mut hasher);
    path.file_name().hash(&mut hasher);
    let name = format!("petasos-listen-unix-{:016x}", hasher.finish());
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)
}
