-- Written by tests/spool/test_questions.py out of questions.py.

-- waiting
SELECT messages.id, messages.job, messages.lane, messages."key", messages.run, messages.records, messages.size, messages.origin, messages.spooled_at, messages.attempts, messages.file IS NULL OR NOT (EXISTS (SELECT *
FROM files
WHERE files.id = messages.file AND files.state = 'reading')) AS visible
FROM messages
WHERE messages."key" = :whole OR messages."key" = :key OR messages."key" >= :part AND messages."key" < :behind

-- waiting_keys
SELECT messages.id, messages.record_keys
FROM messages
WHERE messages.record_keys IS NOT NULL AND instr(messages.record_keys, :mark) > 0 ORDER BY messages.id

-- waiting_one
SELECT messages.id, messages.job, messages.lane, messages."key", messages.run, messages.records, messages.size, messages.origin, messages.spooled_at, messages.attempts, messages.file IS NULL OR NOT (EXISTS (SELECT *
FROM files
WHERE files.id = messages.file AND files.state = 'reading')) AS visible
FROM messages
WHERE messages.id = :message

-- progress
SELECT messages.progress
FROM messages
WHERE messages.id = :message

-- ahead
SELECT count(*) AS count_1
FROM messages
WHERE messages.job = :job AND messages.lane = :lane AND messages.id < :message

-- earlier
SELECT messages.id
FROM messages
WHERE messages.job = :job AND messages.lane < :lane AND (messages.file IS NULL OR NOT (EXISTS (SELECT *
FROM files
WHERE files.id = messages.file AND files.state = 'reading')))
 LIMIT 1 OFFSET 0

-- waits
SELECT waits.job, waits.lane, waits.kind, waits.reason, waits.since, waits.until, waits.attempts
FROM waits ORDER BY waits.job, waits.lane

-- dead
SELECT dead.id, dead.job, dead.lane, dead."key", dead.run, dead.records, dead.size, dead.origin, dead.spooled_at, dead.attempts, dead.method, dead.url, dead.status, dead.answer, dead.answer_headers, dead.answer_body, dead.died_at AS settled_at, dead.reason
FROM dead
WHERE dead."key" = :key OR dead."key" >= :part AND dead."key" < :behind ORDER BY dead.id DESC

-- dead_keys
SELECT dead.id, dead.record_keys
FROM dead
WHERE dead.record_keys IS NOT NULL AND instr(dead.record_keys, :mark) > 0 ORDER BY dead.id DESC

-- dead_one
SELECT dead.id, dead.job, dead.lane, dead."key", dead.run, dead.records, dead.size, dead.origin, dead.spooled_at, dead.attempts, dead.method, dead.url, dead.status, dead.answer, dead.answer_headers, dead.answer_body, dead.died_at AS settled_at, dead.reason
FROM dead
WHERE dead.id = :letter

-- receipts
SELECT receipts.id, receipts.job, receipts.lane, receipts."key", receipts.run, receipts.records, receipts.size, receipts.origin, receipts.spooled_at, receipts.attempts, receipts.method, receipts.url, receipts.status, receipts.answer, receipts.answer_headers, receipts.answer_body, receipts.delivered_at AS settled_at
FROM receipts
WHERE receipts."key" = :key OR receipts."key" >= :part AND receipts."key" < :behind ORDER BY receipts.id DESC

-- fresh_keys
SELECT receipt_keys.receipt, receipt_keys.record_keys
FROM receipt_keys
WHERE instr(receipt_keys.record_keys, :mark_bytes) > 0 ORDER BY receipt_keys.receipt DESC

-- key_pages
WITH RECURSIVE parts(part) AS
(SELECT max(key_pages.part) AS part
FROM key_pages UNION ALL SELECT (SELECT max(below.part) AS max_1
FROM key_pages AS below
WHERE below.part < parts.part) AS anon_1
FROM parts
WHERE parts.part IS NOT NULL)
 SELECT key_pages.part, key_pages.first, key_pages.base, key_pages.marks, key_pages.receipts
FROM parts JOIN key_pages ON key_pages.id = (SELECT in_part.id
FROM key_pages AS in_part
WHERE in_part.part = parts.part AND in_part.first <= :mark ORDER BY in_part.first DESC, in_part.id DESC
 LIMIT 1 OFFSET 0)
WHERE instr(key_pages.marks, :mark_bytes) > 0

-- pages_of_part
SELECT key_pages.last, key_pages.base, key_pages.marks, key_pages.receipts
FROM key_pages
WHERE key_pages.part = :of_part AND key_pages.first <= :mark ORDER BY key_pages.first DESC, key_pages.id DESC

-- receipt
SELECT receipts.id, receipts.job, receipts.lane, receipts."key", receipts.run, receipts.records, receipts.size, receipts.origin, receipts.spooled_at, receipts.attempts, receipts.method, receipts.url, receipts.status, receipts.answer, receipts.answer_headers, receipts.answer_body, receipts.delivered_at AS settled_at
FROM receipts
WHERE receipts.id = :receipt
