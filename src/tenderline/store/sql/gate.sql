-- name: contacts
-- What may have left. A contact that surely did not leave is planned again, or failed with nothing of the provider's.
SELECT person_id, contacted_at AS at, channel, purpose, contact_point_id, case_id, subject,
    connected_at IS NOT NULL AS connected, conversation_at IS NOT NULL AS conversation
FROM attempt
WHERE person_id = ANY($1::uuid[]) AND contacted_at > $2 AND ($3::timestamptz IS NULL OR contacted_at < $3)
  AND (state IN ('leased', 'accepted', 'delivered', 'in_doubt') OR (state = 'failed' AND provider_ref IS NOT NULL))
ORDER BY contacted_at DESC LIMIT $4
