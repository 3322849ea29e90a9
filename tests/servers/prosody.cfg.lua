-- prosody 0.12.3, everything on loopback + high ports

run_as_root = true
pidfile = "@DIR@/prosody.pid"
data_path = "@DIR@/data"
certificates = "@DIR@"
plugin_paths = { "@MODULES@" }
log = { info = "@DIR@/info.log" }

interfaces = { "127.0.0.1" }
c2s_ports = { @C2S@ }
c2s_direct_tls_ports = { }
s2s_ports = { }
component_ports = { @COMPONENT@ }
component_interfaces = { "127.0.0.1" }
http_ports = { @HTTP@ }
http_interfaces = { "127.0.0.1" }
https_ports = { }
https_interfaces = { "127.0.0.1" }

ssl = { key = "@DIR@/key.pem"; certificate = "@DIR@/cert.pem" }

modules_enabled = {
  "roster"; "saslauth"; "tls"; "dialback"; "disco"; "posix"; "private"; "blocklist";
  "carbons"; "pep"; "vcard4"; "vcard_legacy"; "version"; "uptime"; "time"; "ping";
  "smacks"; "csi_simple"; "mam"; "bookmarks"; "register"; "http";
}
allow_registration = true
authentication = "internal_hashed"
storage = @STORAGE@
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
s2s_require_encryption = false
s2s_secure_auth = false
default_archive_policy = true
component_tcp_keepalives = true
component_conflict_resolve = "@CONFLICT@"
component_stanza_size_limit = @LIMIT@
limits = { }                -- no rate limits in tests
-- At its limit (10,000 by itself) an archive is read and written as a whole for what comes next, which takes seconds.
storage_archive_item_limit = 1000000

VirtualHost "xmpp.test"
  admins = { "admin@xmpp.test" }

Component "muc.xmpp.test" "muc"
  name = "Rooms"
  modules_enabled = { @MUC_MODULES@ }
  restrict_room_creation = false
  muc_room_default_persistent = true
  muc_room_default_public = true
  muc_room_default_history_length = 20
  muc_log_by_default = true

Component "upload.xmpp.test" "http_file_share"
  http_host = "localhost"
  http_external_url = "http://localhost:@HTTP@/"   -- host part must equal http_host, prosody routes by Host: header (404 otherwise)
  http_file_share_size_limit = 16*1024*1024
  http_file_share_access = { @UPLOADERS@ }   -- let the component upload too

Component "matrix.xmpp.test"
  component_secret = "s3cret"

@MORE@
