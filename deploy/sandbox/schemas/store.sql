-- Tables of the sandbox. `fields` columns hold a JSON object: path relative to the object, in
-- the schema's spelling ("demographics/gender", "fields/field[name=cohort]/field") -> text.
-- Hot fields are stored generated columns of that JSON, so that there is one truth.

CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);

CREATE TABLE user (
  id INTEGER PRIMARY KEY,
  login TEXT NOT NULL UNIQUE COLLATE NOCASE,
  email TEXT NOT NULL DEFAULT '',
  first_name TEXT NOT NULL DEFAULT '',
  last_name TEXT NOT NULL DEFAULT '',
  password_hash TEXT,
  enabled INTEGER NOT NULL DEFAULT 1,
  verified INTEGER NOT NULL DEFAULT 1,
  last_modified TEXT NOT NULL
);
CREATE TABLE user_role (
  user_id INTEGER NOT NULL REFERENCES user(id) ON DELETE CASCADE,
  role TEXT NOT NULL,
  PRIMARY KEY (user_id, role)
);
-- group_id: "<project>_owner", "<project>_member", "<project>_collaborator", a custom group, or
-- the site groups ALL_DATA_ACCESS and ALL_DATA_ADMIN.
CREATE TABLE user_group (
  user_id INTEGER NOT NULL REFERENCES user(id) ON DELETE CASCADE,
  group_id TEXT NOT NULL,
  PRIMARY KEY (user_id, group_id)
);
CREATE INDEX user_group_by_group ON user_group (group_id);
-- parent: the token that this one was issued with; it ends with it.
CREATE TABLE alias_token (
  alias TEXT PRIMARY KEY,
  parent TEXT REFERENCES alias_token(alias) ON DELETE CASCADE,
  secret_hash TEXT NOT NULL,
  user_id INTEGER NOT NULL REFERENCES user(id) ON DELETE CASCADE,
  issued_at REAL NOT NULL,
  expires_at REAL NOT NULL,
  single_use INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX alias_token_by_parent ON alias_token (parent);

CREATE TABLE project (
  id TEXT PRIMARY KEY COLLATE NOCASE,
  name TEXT NOT NULL,
  secondary_id TEXT NOT NULL,
  accessibility TEXT NOT NULL CHECK (accessibility IN ('private', 'protected', 'public')),
  prearchive_code INTEGER NOT NULL DEFAULT 4,
  quarantine_code INTEGER NOT NULL DEFAULT 0,
  current_arc TEXT NOT NULL DEFAULT 'arc001',
  fields TEXT NOT NULL DEFAULT '{}',
  custom_fields TEXT NOT NULL DEFAULT '{}',
  insert_date TEXT NOT NULL,
  insert_user TEXT NOT NULL,
  last_modified TEXT NOT NULL
);
-- The ID of a deleted project stays blocked: its history remains.
CREATE TABLE deleted_project (id TEXT PRIMARY KEY COLLATE NOCASE, deleted_at TEXT NOT NULL);
CREATE TABLE project_alias (
  alias TEXT PRIMARY KEY COLLATE NOCASE,
  project TEXT NOT NULL REFERENCES project(id) ON DELETE CASCADE
);
CREATE TABLE project_group (
  id TEXT PRIMARY KEY,
  project TEXT NOT NULL REFERENCES project(id) ON DELETE CASCADE,
  display_name TEXT NOT NULL
);
-- Rights of a custom group, one row for each data type: none, read, edit (read, create, edit),
-- all (and delete). The three standard groups have their rights in code.
CREATE TABLE group_right (
  group_id TEXT NOT NULL REFERENCES project_group(id) ON DELETE CASCADE,
  xsi_type TEXT NOT NULL COLLATE NOCASE,
  level TEXT NOT NULL CHECK (level IN ('none', 'read', 'edit', 'all')),
  PRIMARY KEY (group_id, xsi_type)
);

CREATE TABLE subject (
  id TEXT PRIMARY KEY,
  project TEXT NOT NULL REFERENCES project(id) ON DELETE CASCADE,
  label TEXT NOT NULL COLLATE NOCASE,
  fields TEXT NOT NULL DEFAULT '{}',
  custom_fields TEXT NOT NULL DEFAULT '{}',
  insert_date TEXT NOT NULL,
  insert_user TEXT NOT NULL,
  last_modified TEXT NOT NULL,
  UNIQUE (project, label)
);

-- Sessions, subject assessors, and (with session_id) assessors of an image session.
CREATE TABLE experiment (
  id TEXT PRIMARY KEY,
  project TEXT NOT NULL REFERENCES project(id) ON DELETE CASCADE,
  label TEXT NOT NULL COLLATE NOCASE,
  xsi_type TEXT NOT NULL,
  subject_id TEXT REFERENCES subject(id) ON DELETE CASCADE,
  session_id TEXT REFERENCES experiment(id) ON DELETE CASCADE,
  status TEXT NOT NULL DEFAULT 'active',
  fields TEXT NOT NULL DEFAULT '{}',
  custom_fields TEXT NOT NULL DEFAULT '{}',
  date TEXT GENERATED ALWAYS AS (json_extract(fields, '$.date')) STORED,
  insert_date TEXT NOT NULL,
  insert_user TEXT NOT NULL,
  last_modified TEXT NOT NULL,
  UNIQUE (project, label),
  CHECK ((subject_id IS NULL) <> (session_id IS NULL))
);
CREATE INDEX experiment_by_subject ON experiment (subject_id);
CREATE INDEX experiment_by_session ON experiment (session_id);

CREATE TABLE scan (
  key INTEGER PRIMARY KEY,
  session_id TEXT NOT NULL REFERENCES experiment(id) ON DELETE CASCADE,
  id TEXT NOT NULL,
  xsi_type TEXT NOT NULL,
  fields TEXT NOT NULL DEFAULT '{}',
  custom_fields TEXT NOT NULL DEFAULT '{}',
  type TEXT GENERATED ALWAYS AS (json_extract(fields, '$.type')) STORED,
  quality TEXT GENERATED ALWAYS AS (json_extract(fields, '$.quality')) STORED,
  series_description TEXT
    GENERATED ALWAYS AS (json_extract(fields, '$.series_description')) STORED,
  note TEXT GENERATED ALWAYS AS (json_extract(fields, '$.note')) STORED,
  frames TEXT GENERATED ALWAYS AS (json_extract(fields, '$.frames')) STORED,
  uid TEXT GENERATED ALWAYS AS (json_extract(fields, '$.UID')) STORED,
  insert_date TEXT NOT NULL,
  insert_user TEXT NOT NULL,
  last_modified TEXT NOT NULL,
  UNIQUE (session_id, id)
);

CREATE TABLE reconstruction (
  key INTEGER PRIMARY KEY,
  session_id TEXT NOT NULL REFERENCES experiment(id) ON DELETE CASCADE,
  id TEXT NOT NULL,
  xsi_type TEXT NOT NULL DEFAULT 'xnat:reconstructedImageData',
  fields TEXT NOT NULL DEFAULT '{}',
  insert_date TEXT NOT NULL,
  insert_user TEXT NOT NULL,
  last_modified TEXT NOT NULL,
  UNIQUE (session_id, id)
);

-- kind: subject, experiment or scan; object_id: subject/experiment ID, or the scan's key as text.
-- Labels are unique in a project together with those of its own objects (checked in code).
CREATE TABLE share (
  kind TEXT NOT NULL CHECK (kind IN ('subject', 'experiment', 'scan')),
  object_id TEXT NOT NULL,
  project TEXT NOT NULL REFERENCES project(id) ON DELETE CASCADE,
  label TEXT NOT NULL COLLATE NOCASE,
  insert_date TEXT NOT NULL,
  insert_user TEXT NOT NULL,
  PRIMARY KEY (kind, object_id, project)
);
CREATE INDEX share_by_project ON share (project, kind);

-- owner_kind: project, subject, experiment, scan, reconstruction; owner_id as for share (project:
-- its ID). direction: '' or, for assessors and reconstructions, 'in' or 'out'.
-- dir: the resource's folder, relative to the archive root.
CREATE TABLE resource (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  owner_kind TEXT NOT NULL,
  owner_id TEXT NOT NULL,
  direction TEXT NOT NULL DEFAULT '',
  label TEXT NOT NULL,
  format TEXT NOT NULL DEFAULT '',
  content TEXT NOT NULL DEFAULT '',
  description TEXT NOT NULL DEFAULT '',
  tags TEXT NOT NULL DEFAULT '',
  dir TEXT NOT NULL,
  insert_date TEXT NOT NULL,
  insert_user TEXT NOT NULL,
  last_modified TEXT NOT NULL
);
CREATE INDEX resource_by_owner ON resource (owner_kind, owner_id);
CREATE UNIQUE INDEX resource_label ON resource (owner_kind, owner_id, direction, label);

CREATE TABLE file (
  resource_id INTEGER NOT NULL REFERENCES resource(id) ON DELETE CASCADE,
  path TEXT NOT NULL,
  size INTEGER NOT NULL,
  md5 TEXT NOT NULL,
  format TEXT NOT NULL DEFAULT '',
  content TEXT NOT NULL DEFAULT '',
  tags TEXT NOT NULL DEFAULT '',
  description TEXT NOT NULL DEFAULT '',
  created_at TEXT NOT NULL,
  PRIMARY KEY (resource_id, path)
) WITHOUT ROWID;

-- Steps on files of the archive whose rows are committed and that are not known to be done:
-- `incoming` (a name in the incoming folder) becomes `path` in the resource folder `folder`
-- (relative to the sandbox's folder), or, where it is null, that file goes away.
CREATE TABLE file_change (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  incoming TEXT,
  folder TEXT NOT NULL,
  path TEXT NOT NULL
);
CREATE INDEX file_change_by_path ON file_change (folder, path);

-- Sessions that wait to be archived. project: null for those that no project could be found for.
-- folder: a name in the prearchive folder. scans: JSON list of the scans with their file names.
CREATE TABLE prearchive (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  project TEXT REFERENCES project(id) ON DELETE CASCADE,
  timestamp TEXT NOT NULL,
  name TEXT NOT NULL,
  subject TEXT NOT NULL,
  uid TEXT NOT NULL,
  xsi_type TEXT NOT NULL,
  scan_date TEXT NOT NULL DEFAULT '',
  scan_time TEXT NOT NULL DEFAULT '',
  status TEXT NOT NULL DEFAULT 'READY',
  folder TEXT NOT NULL UNIQUE,
  scans TEXT NOT NULL,
  uploaded TEXT NOT NULL,
  last_modified TEXT NOT NULL,
  insert_user TEXT NOT NULL
);
CREATE INDEX prearchive_by_project ON prearchive (project);

-- Journals of folder moves (in the moves folder) whose change was committed.
CREATE TABLE folder_move (name TEXT PRIMARY KEY) WITHOUT ROWID;

CREATE TABLE workflow (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  object_id TEXT NOT NULL,
  data_type TEXT NOT NULL,
  project TEXT NOT NULL DEFAULT '',
  pipeline_name TEXT NOT NULL,
  status TEXT NOT NULL,
  details TEXT NOT NULL DEFAULT '',
  step_description TEXT NOT NULL DEFAULT '',
  percent_complete TEXT NOT NULL DEFAULT '',
  justification TEXT NOT NULL DEFAULT '',
  launch_time TEXT NOT NULL,
  last_modified TEXT NOT NULL,
  user_id INTEGER NOT NULL REFERENCES user(id)
);
CREATE INDEX workflow_by_object ON workflow (object_id);

-- document: the command JSON as stored; wrappers keep their own numbers.
CREATE TABLE command (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  version TEXT NOT NULL DEFAULT '',
  image TEXT NOT NULL,
  visibility TEXT NOT NULL DEFAULT 'public',
  document TEXT NOT NULL,
  UNIQUE (name, version, image)
);
CREATE TABLE wrapper (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  command_id INTEGER NOT NULL REFERENCES command(id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  enabled INTEGER NOT NULL DEFAULT 0,
  UNIQUE (command_id, name)
);
CREATE TABLE wrapper_project (
  wrapper_id INTEGER NOT NULL REFERENCES wrapper(id) ON DELETE CASCADE,
  project TEXT NOT NULL REFERENCES project(id) ON DELETE CASCADE,
  enabled INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (wrapper_id, project)
);
-- scope: '' for the site, or a project ID. document: the configuration JSON.
CREATE TABLE wrapper_config (
  wrapper_id INTEGER NOT NULL REFERENCES wrapper(id) ON DELETE CASCADE,
  scope TEXT NOT NULL DEFAULT '',
  document TEXT NOT NULL,
  PRIMARY KEY (wrapper_id, scope)
);

-- document: everything of the container JSON that is not a column; state: what the runner
-- needs to go on after a restart.
CREATE TABLE container (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  command_id INTEGER,
  wrapper_id INTEGER,
  workflow_id INTEGER REFERENCES workflow(id),
  user_id INTEGER NOT NULL REFERENCES user(id),
  project TEXT NOT NULL DEFAULT '',
  engine_id TEXT NOT NULL DEFAULT '',
  subtype TEXT NOT NULL DEFAULT 'docker',
  parent_id INTEGER REFERENCES container(id),
  status TEXT NOT NULL,
  status_time TEXT NOT NULL,
  document TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX container_by_engine_id ON container (engine_id);

CREATE TABLE container_history (
  container_id INTEGER NOT NULL REFERENCES container(id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  status TEXT NOT NULL,
  entity_type TEXT NOT NULL,
  entity_id TEXT NOT NULL DEFAULT '',
  time_recorded TEXT NOT NULL,
  external_timestamp TEXT NOT NULL DEFAULT '',
  message TEXT NOT NULL DEFAULT '',
  exit_code TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (container_id, position)
) WITHOUT ROWID;

-- A launch as it was asked for, kept so that a restarted server can go on with it. phase:
-- queued (nothing of it runs yet, it can begin afresh), running (its container has started),
-- done. container_id: the container that the launch runs in. orchestration, step: the place in an
-- orchestration that the launch is, counted from 0.
CREATE TABLE launch (
  workflow_id INTEGER PRIMARY KEY REFERENCES workflow(id) ON DELETE CASCADE,
  wrapper_id INTEGER NOT NULL,
  user_id INTEGER NOT NULL REFERENCES user(id),
  project TEXT NOT NULL DEFAULT '',
  params TEXT NOT NULL,
  phase TEXT NOT NULL CHECK (phase IN ('queued', 'running', 'done')),
  container_id INTEGER,
  orchestration INTEGER,
  step INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX launch_by_phase ON launch (phase);

-- wrapper_ids: JSON list of wrappers in their order.
CREATE TABLE orchestration (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  enabled INTEGER NOT NULL,
  wrapper_ids TEXT NOT NULL
);
CREATE TABLE orchestration_project (
  project TEXT PRIMARY KEY REFERENCES project(id) ON DELETE CASCADE,
  orchestration_id INTEGER NOT NULL REFERENCES orchestration(id) ON DELETE CASCADE
);
CREATE INDEX orchestration_project_by_orchestration ON orchestration_project (orchestration_id);
-- Without one of its wrappers an orchestration is none: it ends in all projects.
CREATE TRIGGER orchestration_loses_wrapper AFTER DELETE ON wrapper BEGIN
  UPDATE orchestration SET enabled = 0
    WHERE EXISTS (SELECT 1 FROM json_each(wrapper_ids) WHERE value = old.id);
END;
CREATE TRIGGER orchestration_wrapper_disabled AFTER UPDATE OF enabled ON wrapper
WHEN NOT new.enabled BEGIN
  UPDATE orchestration SET enabled = 0
    WHERE EXISTS (SELECT 1 FROM json_each(wrapper_ids) WHERE value = new.id);
END;
CREATE TRIGGER orchestration_disabled AFTER UPDATE OF enabled ON orchestration
WHEN NOT new.enabled BEGIN
  DELETE FROM orchestration_project WHERE orchestration_id = new.id;
END;
CREATE INDEX container_by_project ON container (project);

-- Launches on events. projects: JSON list of IDs, empty for the whole site; status: '' for any.
-- after_event: the last event that happened before the subscription began to listen.
CREATE TABLE event_subscription (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  active INTEGER NOT NULL,
  event_type TEXT NOT NULL,
  status TEXT NOT NULL,
  projects TEXT NOT NULL,
  payload_filter TEXT NOT NULL DEFAULT '',
  action_key TEXT NOT NULL,
  attributes TEXT NOT NULL DEFAULT '{}',
  as_event_user INTEGER NOT NULL,
  owner_id INTEGER NOT NULL REFERENCES user(id) ON DELETE CASCADE,
  after_event INTEGER NOT NULL DEFAULT 0,
  created_at TEXT NOT NULL
);
CREATE INDEX event_subscription_by_type ON event_subscription (event_type, active);

-- What a subscription did: statuses is a JSON list of steps with times, object the JSON of what
-- the event was about.
CREATE TABLE event_delivery (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  subscription_id INTEGER NOT NULL REFERENCES event_subscription(id) ON DELETE CASCADE,
  project TEXT NOT NULL,
  login TEXT NOT NULL,
  event_type TEXT NOT NULL,
  event_status TEXT NOT NULL,
  object TEXT NOT NULL,
  inputs TEXT NOT NULL,
  outcome TEXT NOT NULL,
  failed INTEGER NOT NULL,
  statuses TEXT NOT NULL,
  delivered_at TEXT NOT NULL
);
CREATE INDEX event_delivery_by_subscription ON event_delivery (subscription_id);

-- Events that no subscription was told of yet. They are noted by the triggers of events.sql in
-- the transaction of the change itself, so that neither can be lost without the other; none is
-- noted while nobody listens. kind and object_id: as for resources, or resource, or workflow.
-- details: what can no longer be looked up when the object is gone.
CREATE TABLE event (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  object_id TEXT NOT NULL,
  status TEXT NOT NULL,
  project TEXT NOT NULL,
  login TEXT NOT NULL,
  details TEXT NOT NULL
);
CREATE INDEX event_by_object ON event (kind, object_id);

-- scope: a project ID, or '' for the site (whose switch is a site property).
CREATE TABLE anonymization_script (
  scope TEXT PRIMARY KEY,
  text TEXT NOT NULL,
  enabled INTEGER NOT NULL
);

-- A search document under a name; logins: JSON list of those it is shared with, empty for all.
CREATE TABLE stored_search (
  id TEXT PRIMARY KEY COLLATE NOCASE,
  owner_id INTEGER NOT NULL REFERENCES user(id) ON DELETE CASCADE,
  root_type TEXT NOT NULL,
  brief_description TEXT NOT NULL,
  description TEXT NOT NULL,
  secure INTEGER NOT NULL,
  logins TEXT NOT NULL,
  document BLOB NOT NULL,
  last_modified TEXT NOT NULL
);
-- Search documents kept for reading in pages; user 0 is the guest, who has no account.
CREATE TABLE kept_search (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  user_id INTEGER NOT NULL,
  document BLOB NOT NULL
);
CREATE INDEX kept_search_by_user ON kept_search (user_id, number);

-- The config service. project: null for the site's own settings. version counts from 1.
CREATE TABLE config (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  project TEXT REFERENCES project(id) ON DELETE CASCADE,
  tool TEXT NOT NULL,
  path TEXT NOT NULL,
  version INTEGER NOT NULL,
  contents TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('enabled', 'disabled')),
  unversioned INTEGER NOT NULL DEFAULT 0,
  reason TEXT NOT NULL DEFAULT '',
  user TEXT NOT NULL,
  create_date TEXT NOT NULL
);
CREATE UNIQUE INDEX config_version ON config (ifnull(project, ''), tool, path, version);

-- scope: a project ID, or '' for the site.
CREATE TABLE series_filter (
  scope TEXT PRIMARY KEY,
  contents TEXT NOT NULL,
  enabled INTEGER NOT NULL,
  version INTEGER NOT NULL,
  login TEXT NOT NULL,
  reason TEXT NOT NULL,
  created_at TEXT NOT NULL
);

-- whitelist: JSON list of texts.
CREATE TABLE dicom_receiver (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  ae_title TEXT NOT NULL,
  port INTEGER NOT NULL UNIQUE,
  enabled INTEGER NOT NULL,
  whitelist_enabled INTEGER NOT NULL,
  whitelist TEXT NOT NULL
);
-- Studies in a folder of received files that are stored while the folder is not removed yet.
CREATE TABLE received_study (
  folder TEXT NOT NULL,
  uid TEXT NOT NULL,
  PRIMARY KEY (folder, uid)
) WITHOUT ROWID;

-- Invitations into groups of projects; answer: null while none was given. user_id: the account
-- that was made with the address, not one that was given it later. asked: the account asks to join.
CREATE TABLE invitation (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  project TEXT NOT NULL REFERENCES project(id) ON DELETE CASCADE,
  group_id TEXT NOT NULL,
  email TEXT NOT NULL COLLATE NOCASE,
  user_id INTEGER REFERENCES user(id) ON DELETE CASCADE,
  answer TEXT CHECK (answer IN ('accepted', 'declined')),
  asked INTEGER NOT NULL DEFAULT 0,
  created_at TEXT NOT NULL
);
CREATE INDEX invitation_by_project ON invitation (project);
CREATE INDEX invitation_by_user ON invitation (user_id);
CREATE INDEX invitation_by_email ON invitation (email);
CREATE TRIGGER invitation_finds_account AFTER INSERT ON user WHEN NEW.email <> '' BEGIN
  UPDATE invitation SET user_id = NEW.id
    WHERE email = NEW.email AND user_id IS NULL AND answer IS NULL;
END;

-- What administrators said of features that can be banned. group_type: the display name of groups,
-- or '' for the site; null: nothing was said.
CREATE TABLE feature_setting (
  group_type TEXT NOT NULL,
  feature TEXT NOT NULL,
  enabled INTEGER,
  banned INTEGER,
  PRIMARY KEY (group_type, feature)
) WITHOUT ROWID;
