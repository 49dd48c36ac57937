-- Triggers that note events in the transaction of the change itself. They belong to a connection
-- (TEMP), since acting_login() is a function of the server: who acts, or else what is given.

CREATE TEMP TRIGGER project_created AFTER INSERT ON project
WHEN EXISTS (SELECT 1 FROM event_subscription WHERE active AND event_type = 'ProjectEvent')
BEGIN
  INSERT INTO event (kind, object_id, status, project, login, details)
  VALUES ('project', NEW.id, 'CREATED', NEW.id, acting_login(NEW.insert_user), '{}');
END;
CREATE TEMP TRIGGER project_deleted AFTER DELETE ON project
WHEN EXISTS (SELECT 1 FROM event_subscription WHERE active AND event_type = 'ProjectEvent')
BEGIN
  INSERT INTO event (kind, object_id, status, project, login, details)
  VALUES ('project', OLD.id, 'DELETED', OLD.id, acting_login(''),
    json_object('label', OLD.id, 'xsiType', 'xnat:projectData'));
END;

CREATE TEMP TRIGGER subject_created AFTER INSERT ON subject
WHEN EXISTS (SELECT 1 FROM event_subscription WHERE active AND event_type = 'SubjectEvent')
BEGIN
  INSERT INTO event (kind, object_id, status, project, login, details)
  VALUES ('subject', NEW.id, 'CREATED', NEW.project, acting_login(NEW.insert_user), '{}');
END;
CREATE TEMP TRIGGER subject_deleted AFTER DELETE ON subject
WHEN EXISTS (SELECT 1 FROM event_subscription WHERE active AND event_type = 'SubjectEvent')
BEGIN
  INSERT INTO event (kind, object_id, status, project, login, details)
  VALUES ('subject', OLD.id, 'DELETED', OLD.project, acting_login(''),
    json_object('label', OLD.label, 'xsiType', 'xnat:subjectData'));
END;

CREATE TEMP TRIGGER experiment_created AFTER INSERT ON experiment
WHEN EXISTS (SELECT 1 FROM event_subscription WHERE active
  AND event_type IN ('SessionEvent', 'SubjectAssessorEvent', 'ImageAssessorEvent'))
BEGIN
  INSERT INTO event (kind, object_id, status, project, login, details)
  VALUES ('experiment', NEW.id, 'CREATED', NEW.project, acting_login(NEW.insert_user),
    json_object('label', NEW.label, 'xsiType', NEW.xsi_type, 'session-id', NEW.session_id));
END;
CREATE TEMP TRIGGER experiment_deleted AFTER DELETE ON experiment
WHEN OLD.session_id IS NULL AND EXISTS (SELECT 1 FROM event_subscription WHERE active
  AND event_type IN ('SessionEvent', 'SubjectAssessorEvent'))
BEGIN
  INSERT INTO event (kind, object_id, status, project, login, details)
  VALUES ('experiment', OLD.id, 'DELETED', OLD.project, acting_login(''),
    json_object('label', OLD.label, 'xsiType', OLD.xsi_type, 'subject-id', OLD.subject_id));
END;
CREATE TEMP TRIGGER assessor_updated AFTER UPDATE OF fields ON experiment
WHEN NEW.session_id IS NOT NULL AND OLD.fields <> NEW.fields
  AND EXISTS (SELECT 1 FROM event_subscription WHERE active AND event_type = 'ImageAssessorEvent')
BEGIN
  INSERT INTO event (kind, object_id, status, project, login, details)
  SELECT 'experiment', NEW.id, 'UPDATED', NEW.project, acting_login(''),
    json_object('label', NEW.label, 'xsiType', NEW.xsi_type, 'session-id', NEW.session_id)
  WHERE NOT EXISTS (SELECT 1 FROM event WHERE kind = 'experiment' AND object_id = NEW.id);
END;

CREATE TEMP TRIGGER scan_created AFTER INSERT ON scan
WHEN EXISTS (SELECT 1 FROM event_subscription WHERE active AND event_type = 'ScanEvent')
BEGIN
  INSERT INTO event (kind, object_id, status, project, login, details)
  SELECT 'scan', NEW.key, 'CREATED', project, acting_login(NEW.insert_user), '{}'
  FROM experiment WHERE id = NEW.session_id;
END;

CREATE TEMP TRIGGER resource_created AFTER INSERT ON resource
WHEN EXISTS (SELECT 1 FROM event_subscription WHERE active AND event_type = 'ResourceEvent')
BEGIN
  INSERT INTO event (kind, object_id, status, project, login, details)
  VALUES ('resource', NEW.id, 'CREATED', '', acting_login(NEW.insert_user), '{}');
END;
CREATE TEMP TRIGGER resource_updated AFTER INSERT ON file
WHEN EXISTS (SELECT 1 FROM event_subscription WHERE active AND event_type = 'ResourceEvent')
BEGIN
  INSERT INTO event (kind, object_id, status, project, login, details)
  SELECT 'resource', NEW.resource_id, 'UPDATED', '', acting_login(''), '{}'
  WHERE NOT EXISTS (
    SELECT 1 FROM event WHERE kind = 'resource' AND object_id = CAST(NEW.resource_id AS TEXT));
END;

CREATE TEMP TRIGGER workflow_began AFTER INSERT ON workflow
WHEN EXISTS (
  SELECT 1 FROM event_subscription WHERE active AND event_type = 'WorkflowStatusChangeEvent')
BEGIN
  INSERT INTO event (kind, object_id, status, project, login, details)
  SELECT 'workflow', NEW.id, 'CHANGED', NEW.project, login, json_object('status', NEW.status)
  FROM user WHERE id = NEW.user_id;
END;
CREATE TEMP TRIGGER workflow_changed AFTER UPDATE OF status ON workflow
WHEN OLD.status <> NEW.status AND EXISTS (
  SELECT 1 FROM event_subscription WHERE active AND event_type = 'WorkflowStatusChangeEvent')
BEGIN
  INSERT INTO event (kind, object_id, status, project, login, details)
  SELECT 'workflow', NEW.id, 'CHANGED', NEW.project, login, json_object('status', NEW.status)
  FROM user WHERE id = NEW.user_id;
END;
