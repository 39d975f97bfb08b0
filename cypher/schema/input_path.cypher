// Inputs by path, latest last
// parameters: none
// returns: none
CREATE INDEX input_path IF NOT EXISTS FOR ()-[u:INPUT]-() ON (u.path, u.first)
