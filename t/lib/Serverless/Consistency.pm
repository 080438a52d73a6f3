# The rules that hold for the database at any moment, after any statement.
package Serverless::Consistency;

use strict;
use warnings FATAL => 'all';

use Exporter qw(import);
use Serverless::Database ();

our @EXPORT = qw(inconsistencies rows_of);

# Each statement finds the rows that break its rule.
my @rules = (
    'a pin whose Version is gone' => <<'SQL',
SELECT p FROM serverless.pins AS p
 WHERE NOT EXISTS (SELECT FROM serverless.versions AS v
                    WHERE v.service_id = p.service_id AND v.id = p.version_id)
SQL
    'an active Build, one of whose Versions is gone' => <<'SQL',
SELECT b.id, c.version_id, c.path
  FROM serverless.builds AS b
  JOIN serverless.build_versions AS c ON c.service_id = b.service_id AND c.build_id = b.id
 WHERE (b.status = 'building'
        OR EXISTS (SELECT FROM serverless.environments AS e
                    WHERE e.service_id = b.service_id AND e.build_id = b.id))
   AND NOT EXISTS (SELECT FROM serverless.versions AS v
                    WHERE v.service_id = c.service_id AND v.id = c.version_id)
SQL
    'a Build whose pins are not those it should have' => <<'SQL',
SELECT * FROM (SELECT p.service_id, p.build_id, p.version_id FROM serverless.pins AS p
                WHERE p.build_id IS NOT NULL) AS has
  FULL JOIN (SELECT c.service_id, c.build_id, c.version_id
               FROM serverless.build_versions AS c
               JOIN serverless.builds AS b ON b.service_id = c.service_id AND b.id = c.build_id
              WHERE b.status = 'building') AS should USING (service_id, build_id, version_id)
 WHERE has IS NULL OR should IS NULL
SQL
    'an Environment whose pins are not those it should have' => <<'SQL',
SELECT * FROM (SELECT p.service_id, p.environment_id, p.version_id FROM serverless.pins AS p
                WHERE p.environment_id IS NOT NULL) AS has
  FULL JOIN (SELECT e.service_id, e.id AS environment_id, c.version_id
               FROM serverless.environments AS e
               JOIN serverless.build_versions AS c
                 ON c.service_id = e.service_id AND c.build_id = e.build_id)
         AS should USING (service_id, environment_id, version_id)
 WHERE has IS NULL OR should IS NULL
SQL
    'an Environment whose Build is not completed, or gone' => <<'SQL',
SELECT e.id, e.build_id FROM serverless.environments AS e
 WHERE e.build_id IS NOT NULL
   AND NOT EXISTS (SELECT FROM serverless.builds AS b
                    WHERE b.service_id = e.service_id AND b.id = e.build_id
                      AND b.status = 'completed')
SQL
    'a Version without its content' => <<'SQL',
SELECT v.id FROM serverless.versions AS v
 WHERE NOT EXISTS (SELECT FROM serverless.contents AS c
                    WHERE c.service_id = v.service_id AND c.sha256 = v.content_sha256)
SQL
    'content that no Version has' => <<'SQL',
SELECT c.sha256 FROM serverless.contents AS c
 WHERE NOT EXISTS (SELECT FROM serverless.versions AS v
                    WHERE v.service_id = c.service_id AND v.content_sha256 = c.sha256)
SQL
    'content whose bytes are not those of its hash' => <<'SQL',
SELECT c.sha256 FROM serverless.contents AS c
 WHERE sha256(serverless.content_of(c.service_id, c.sha256)) <> c.sha256
    OR octet_length(serverless.content_of(c.service_id, c.sha256)) <> c.size
SQL
    'a row without the one that it belongs to' => <<'SQL',
SELECT 'artifacts', f.id FROM serverless.artifacts AS f
 WHERE NOT EXISTS (SELECT FROM serverless.services AS s WHERE s.id = f.service_id)
UNION ALL
SELECT 'versions', v.id FROM serverless.versions AS v
 WHERE NOT EXISTS (SELECT FROM serverless.artifacts AS f
                    WHERE f.service_id = v.service_id AND f.kind = v.kind
                      AND f.id = v.artifact_id)
UNION ALL
SELECT 'content_chunks', NULL FROM serverless.content_chunks AS k
 WHERE NOT EXISTS (SELECT FROM serverless.contents AS c
                    WHERE c.service_id = k.service_id AND c.sha256 = k.sha256)
UNION ALL
SELECT 'builds', b.id FROM serverless.builds AS b
 WHERE NOT EXISTS (SELECT FROM serverless.services AS s WHERE s.id = b.service_id)
UNION ALL
SELECT 'build_versions', c.version_id FROM serverless.build_versions AS c
 WHERE NOT EXISTS (SELECT FROM serverless.builds AS b
                    WHERE b.service_id = c.service_id AND b.id = c.build_id)
UNION ALL
SELECT 'environments', e.id FROM serverless.environments AS e
 WHERE NOT EXISTS (SELECT FROM serverless.services AS s WHERE s.id = e.service_id)
UNION ALL
SELECT 'deployments', d.id FROM serverless.deployments AS d
 WHERE NOT EXISTS (SELECT FROM serverless.environments AS e
                    WHERE e.service_id = d.service_id AND e.id = d.environment_id)
UNION ALL
SELECT 'logs', l.id FROM serverless.logs AS l
 WHERE NOT EXISTS (SELECT FROM serverless.environments AS e
                    WHERE e.service_id = l.service_id AND e.id = l.environment_id)
UNION ALL
SELECT 'variables', v.id FROM serverless.variables AS v
 WHERE NOT EXISTS (SELECT FROM serverless.environments AS e
                    WHERE e.service_id = v.service_id AND e.id = v.environment_id)
SQL
);

# What is wrong, in words; an empty list is as it should be. All rules see the
# same moment; within a transaction, what that has done so far.
sub inconsistencies {
    my ($db) = @_;
    $db ||= Serverless::Database::db();
    my $own = $db->{AutoCommit};
    my @found;
    if ($own) {
        $db->begin_work;
        $db->do('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY');
    }
    for (my $i = 0; $i < @rules; $i += 2) {
        my $rows = $db->selectall_arrayref($rules[$i + 1]);
        push @found, "$rules[$i]: " . join ' ', map { $_ // 'NULL' } @$_ for @$rows;
    }
    $db->rollback if $own;
    return \@found;
}

# How many rows each table has of a Service; tables without any are left out.
sub rows_of {
    my ($service_sid, $db) = @_;
    my $id = $service_sid =~ s/^ZS//r;
    $db ||= Serverless::Database::db();
    my $tables = $db->selectcol_arrayref(<<'SQL');
SELECT c.relname::text
  FROM pg_class AS c
  JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'service_id' AND NOT a.attisdropped
 WHERE c.relnamespace = 'serverless'::regnamespace AND c.relkind IN ('r', 'p')
SQL
    my %rows = map { $_ => $db->selectrow_array("SELECT count(*) FROM serverless.$_ WHERE service_id = ?",
        undef, $id) } @$tables;
    $rows{services} = $db->selectrow_array('SELECT count(*) FROM serverless.services WHERE id = ?', undef, $id);
    return { map { $_ => $rows{$_} } grep { $rows{$_} } keys %rows };
}

1;
