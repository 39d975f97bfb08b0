// What was pruned, or has more aside
// parameters: rows
// returns: none
UNWIND $rows AS row
MERGE (p:Pruned {key: row.key})
ON CREATE SET p.at = row.at, p.cmf_aside = row.aside
ON MATCH SET p.cmf_aside = CASE row.aside WHEN '' THEN p.cmf_aside ELSE row.aside END
SET p:$(row.labels)
