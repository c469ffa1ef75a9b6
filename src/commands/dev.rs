//! `ires-chat dev`: everything at once, to try it: a private Postgres, demo users, rooms and messages, and a server.

use super::{
    failed, say,
    serve::{bind, listen, prepare},
};
use crate::{Failure, init_logs};
use chrono::{TimeDelta, Utc};
use clap::Args;
use ires_chat::{
    app::App,
    auth::{self, AuthUser, tokens::new_refresh_token},
    config::{Secret, Settings},
    embedded::{Cluster, Options},
    error, lobby,
    messages::{self, NewMessage},
    payload::Fields,
    rooms::RoomRef,
    systemd::Systemd,
    users::{UserId, UserType},
    web,
};
use serde_json::{Value, json};
use std::{
    fs::{self, OpenOptions},
    io::Write,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::task::spawn_blocking;

/// Where the private Postgres lives, besides the settings of every server.
#[derive(Args)]
pub struct Dev {
    /// Directory of the private Postgres
    #[arg(long, env = "CHAT_DEV_DIR", default_value = ".ires-chat")]
    dir: PathBuf,
    /// Directory of Postgres's programs [default: searched for]
    #[arg(long, env = "CHAT_PG_BIN")]
    pg_bin: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// Runs until Ctrl-C, which stops both the server and its Postgres.
pub async fn run(dev: Dev) -> Result<(), Failure> {
    init_logs(&dev.settings.log)?;
    let listener = bind(&dev.settings.http).await?;
    let options = Options { dir: dev.dir.clone(), pg_bin: dev.pg_bin, settings: Vec::new() };
    let cluster = spawn_blocking(move || Cluster::start(&options)).await.map_err(failed)?.map_err(|error| Failure::Unavailable(error.to_string()))?;
    let served = serve(listener, dev.settings, &dev.dir, &cluster).await;
    let stopped = spawn_blocking(move || cluster.stop()).await.map_err(failed)?.map_err(failed);
    served.and(stopped)
}

async fn serve(listener: tokio::net::TcpListener, mut settings: Settings, dir: &Path, cluster: &Cluster) -> Result<(), Failure> {
    if settings.auth.jwt_secret.is_none() && settings.auth.jwt_secret_file.is_none() {
        settings.auth.jwt_secret =
            Some(kept_secret(dir).map_err(|error| failed(format!("the secret in {} cannot be kept: {error}", dir.display())))?);
    }
    if settings.http.metrics_token_file.is_none() {
        settings.http.metrics_token.get_or_insert_with(|| Secret::new(new_refresh_token()));
    }
    settings.database.database_url = Some(Secret::new(cluster.database_url()));
    settings.database.database_url_file = None;
    let address = listener.local_addr().map_err(failed)?;
    // The demo page is served from here, under either name of this machine.
    for host in ["localhost", "127.0.0.1"] {
        settings.http.frontend_url.push(format!("http://{host}:{}", address.port()));
    }
    let settings = settings.check().map_err(Failure::Misconfigured)?;
    let metrics_token = settings.http.metrics_token.clone();
    let systemd = Systemd::of_environment();
    let app = prepare(settings, &systemd).await?;
    let users = seed(&app).await.map_err(failed)?;
    let text = welcome(&users, address, cluster, metrics_token.as_ref().map_or("", Secret::reveal));
    listen(listener, app, web::demo(), &systemd, |_| say(text)).await
}

/// The secret of this directory's tokens: made once, so that tokens outlive a restart.
fn kept_secret(dir: &Path) -> std::io::Result<Secret> {
    let path = dir.join("jwt-secret");
    if !path.exists() {
        fs::create_dir_all(dir)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        writeln!(file, "{}", new_refresh_token())?;
    }
    Ok(Secret::new(fs::read_to_string(path)?.trim()))
}

/// A user to try things with.
struct DemoUser {
    name: &'static str,
    token: String,
    user: Arc<AuthUser>,
}

/// Two users, three rooms, some messages. Everything has ids of its own, so a second start adds nothing.
async fn seed(app: &App) -> error::Result<[DemoUser; 2]> {
    let (alice, bob) = (demo_user(app, "alice", "Alice").await?, demo_user(app, "bob", "Bob").await?);
    let support = json!({ "name": "Support Room", "type": "public", "slug": "room-123", "participants": ["bob"], "clientRoomId": "demo-support" });
    let direct = json!({ "type": "direct", "participants": ["bob"] });
    let (support, direct) = (room(app, &alice.user, support).await?, room(app, &alice.user, direct).await?);
    let general = app.default_room.to_string();
    let said = [
        (&alice, &general, "Welcome! This is the general room: everybody is here."),
        (&bob, &general, "Hello, Alice!"),
        (&alice, &support, "Questions about anything? Ask here."),
        (&bob, &support, "How do I join this room?"),
        (&alice, &support, "socket.emit('chat:room:join', 'room-123')"),
        (&bob, &direct, "This one is between the two of us."),
    ];
    for (number, (author, room, content)) in said.into_iter().enumerate() {
        let message = json!({ "content": content, "clientMsgId": format!("demo-{number}") });
        let new = NewMessage::read(Fields::of(message)?, &app.settings.chat)?.in_room(room.clone());
        messages::send(app, author.user.clone(), new).await?;
    }
    Ok([alice, bob])
}

async fn demo_user(app: &App, id: &str, name: &'static str) -> error::Result<DemoUser> {
    let user = UserId::parse(id).ok_or(error::Error::NotFound)?;
    let now = Utc::now();
    let token = app.keys.mint(&user, UserType::User, Some(name), None, now, now + TimeDelta::days(30))?;
    let user = Arc::new(auth::authenticate(app, &token).await?);
    Ok(DemoUser { name, token, user })
}

async fn room(app: &App, maker: &AuthUser, payload: Value) -> error::Result<String> {
    let new = lobby::NewRoom::read(Fields::of(payload)?, 10)?;
    match lobby::create(app, maker, new).await {
        Ok((room, _)) => Ok(room.id.to_string()),
        // Somebody made a room of this name by hand.
        Err(error::Error::Conflict(_)) => {
            Ok(lobby::membership::join(app, maker, &RoomRef::parse("room-123")?, None, None).await?.room_id.to_string())
        }
        Err(error) => Err(error),
    }
}

fn welcome([alice, bob]: &[DemoUser; 2], address: SocketAddr, cluster: &Cluster, metrics_token: &str) -> String {
    let base = format!("http://localhost:{}", address.port());
    format!(
        "ires-chat listens on {base}

  Database   {data}
  psql       {psql}
  REST       {base}/api/v1
  Sockets    {base}/chat   (Socket.IO)

  Two browser windows, two people:
    {alice_name:<6} {base}/#{alice_token}
    {bob_name:<6} {base}/#{bob_token}

  curl:
    curl -s {base}/api/v1/rooms -H 'Authorization: Bearer {alice_token}'
    curl -s {base}/api/v1/rooms/general/messages -H 'Authorization: Bearer {bob_token}' \\
      -H 'Content-Type: application/json' -d '{{\"content\":\"Hello from curl\"}}'
    curl -s {base}/metrics -H 'Authorization: Bearer {metrics_token}'

  socket.io-client (npm install socket.io-client):
    const {{ io }} = require('socket.io-client');
    const socket = io('{base}/chat', {{ auth: {{ token: '{alice_token}' }} }});
    socket.on('system:notification', (n) => console.log(n.type));
    socket.on('chat:message', (m) => console.log(m.sender.name + ': ' + m.content));
    socket.emit('chat:message', {{ roomId: 'general', content: 'Hello from Node' }}, console.log);

  Ctrl-C stops the server and its Postgres; everything stays in {data}.
",
        data = cluster.data_dir().display(),
        psql = cluster.psql(),
        alice_name = alice.name,
        bob_name = bob.name,
        alice_token = alice.token,
        bob_token = bob.token,
    )
}
