-- Written by tests/spool/test_questions.py out of views.py.

CREATE TEMP VIEW owed AS
SELECT main.messages.id, main.messages.job, main.messages.file, main.messages.records, main.messages.size, newest.records AS good, newest.id AS receipt, length(main.messages.body) AS weight
FROM (SELECT main.receipts.id AS id, main.receipts.message AS message, main.receipts.records AS records, main.receipts.job AS job, main.receipts.lane AS lane, main.receipts.run AS run, main.receipts.spooled_at AS spooled_at
FROM main.receipts ORDER BY main.receipts.id DESC
 LIMIT 128 OFFSET 0) AS newest JOIN main.messages ON main.messages.id = newest.message AND main.messages.job = newest.job AND main.messages.lane = newest.lane AND main.messages.run = newest.run AND main.messages.spooled_at = newest.spooled_at ORDER BY newest.id;

CREATE TEMP VIEW messages AS
SELECT main.messages.id, main.messages.job, main.messages.lane, main.messages."key", main.messages.run, main.messages.file, main.messages.records, main.messages.size, main.messages.attempts, main.messages.spooled_at, main.messages.as_of, main.messages.origin, main.messages.content_type, main.messages.path, main.messages.headers, main.messages.form, main.messages.progress, main.messages.record_keys, main.messages.subject, main.messages.place, main.messages.crc, main.messages.body
FROM main.messages
WHERE (main.messages.id NOT IN (SELECT owed.id
FROM owed));

CREATE TEMP VIEW jobs AS
SELECT main.jobs.job, main.jobs.waiting - coalesce(sums.gone, 0) AS waiting, main.jobs.waiting_records - coalesce(sums.records, 0) AS waiting_records, main.jobs.waiting_bytes - coalesce(sums.size, 0) AS waiting_bytes, main.jobs.held, main.jobs.held_records, main.jobs.held_bytes, main.jobs.delivered + coalesce(sums.gone, 0) AS delivered, main.jobs.delivered_records + coalesce(sums.good, 0) AS delivered_records, main.jobs.dead, main.jobs.expired, main.jobs.superseded, main.jobs.last_run, coalesce(sums.receipt, main.jobs.last_receipt) AS last_receipt
FROM main.jobs LEFT OUTER JOIN (SELECT owed.job AS job, count(*) AS gone, sum(owed.records) AS records, sum(owed.size) AS size, sum(owed.good) AS good, max(owed.receipt) AS receipt
FROM owed
WHERE owed.job IS NOT NULL GROUP BY owed.job) AS sums ON main.jobs.job = sums.job;

CREATE TEMP VIEW files AS
SELECT main.files.id, main.files.job, main.files.path, main.files.device, main.files.inode, main.files.size, main.files.mtime_ns, main.files.sha256, main.files.state, main.files.reason, main.files.run, main.files.seen_at, main.files.settled_at, main.files.moved_to, main.files.waiting - coalesce(sums.gone, 0) AS waiting, main.files.waiting_records - coalesce(sums.records, 0) AS waiting_records, main.files.waiting_bytes - coalesce(sums.size, 0) AS waiting_bytes, main.files.delivered + coalesce(sums.gone, 0) AS delivered, main.files.dead
FROM main.files LEFT OUTER JOIN (SELECT owed.file AS file, count(*) AS gone, sum(owed.records) AS records, sum(owed.size) AS size, sum(owed.good) AS good, max(owed.receipt) AS receipt
FROM owed
WHERE owed.file IS NOT NULL GROUP BY owed.file) AS sums ON main.files.id = sums.file;
