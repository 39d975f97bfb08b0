// Outputs by path, latest last
// parameters: none
// returns: none
CREATE INDEX output_path IF NOT EXISTS FOR ()-[u:OUTPUT]-() ON (u.path, u.first)
