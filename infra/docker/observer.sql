-- Grafana's login, a member of the role that reads and changes nothing: run by psql with the variables `login` and `password` after the
-- migration; may be run again.
SELECT format('CREATE ROLE %I', :'login') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'login') \gexec
ALTER ROLE :"login" LOGIN PASSWORD :'password';
GRANT agentmesh_observer TO :"login";
ALTER ROLE :"login" SET default_transaction_read_only = on;
ALTER ROLE :"login" SET statement_timeout = '10s';
