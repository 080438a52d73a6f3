# Taking away again, by serverless-admin: API keys, accounts with all that they have, the access of a role, and what
# "make install" has installed.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use File::Temp ();
use Serverless::Database;
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Test::More;

my $admin = "$ENV{SOURCE}/bin/serverless-admin";

# The exit status of a command and what it prints.
sub admin {
    my ($arguments, %option) = @_;
    my $database = $option{database} || 'serverless';
    my $input = defined $option{input} ? "printf '%s\\n' '$option{input}' |" : '</dev/null';
    my $command = "'$admin' -d 'host=$ENV{DATABASE} dbname=$database user=serverless_owner' $arguments 2>&1";
    my $printed = defined $option{input} ? `$input $command` : `$command $input`;
    return ($? >> 8, $printed);
}

sub is_done {
    my ($arguments, $name, %option) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply [admin($arguments, %option)], [0, ''], $name;
}

subtest 'key delete' => sub {
    my $account = Serverless::Client->account;
    my ($sid, $secret) = db()->selectrow_array(q(SELECT * FROM serverless.create_api_key(?, 'a key')), undef, $account->user);
    my $key = Serverless::Client->client($sid, $secret);
    is $key->get('/v1/Services')->status, 200, 'a key';
    is_done "key delete $sid", 'key delete';
    is $key->get('/v1/Services')->status, 401, 'it is refused';
    unlike +(admin('key list ' . $account->user))[1], qr/\Q$sid\E/, 'and no longer listed';
    is_deeply [admin("key delete $sid")], [1, "serverless-admin: there is no API key $sid\n"], 'there is none any more';
    is_deeply [admin('key delete ' . $account->user)], [1, 'serverless-admin: there is no API key ' . $account->user . "\n"],
        'an account is no key';
    is $account->get('/v1/Services')->status, 200, 'the account itself stays';
};

# The number of rows in all tables that hang on accounts.
sub rows_of_all {
    my ($dbh) = @_;
    return { map { $_ => $dbh->selectrow_array("SELECT count(*) FROM serverless.$_") }
        qw(accounts credentials services artifacts versions contents content_chunks builds build_versions pins environments
           deployments variables logs idempotency_keys signing_keys) };
}

subtest 'account delete' => sub {
    my $database = own_database('undo');
    my $owner = $database->connect('serverless_owner');
    my @keep = $owner->selectrow_array(q(SELECT * FROM serverless.create_account('keep')));
    my @go = $owner->selectrow_array(q(SELECT * FROM serverless.create_account('go')));
    my $server = Serverless::Server->start('undo', Serverless::Server->database(database => $database->name) . Serverless::Server->api);
    my $fill = sub {
        my $client = Serverless::Client->client(@_)->at($server->address);
        for my $name ('one', 'two') {
            my $at = '/v1/Services/' . $client->post('/v1/Services', UniqueName => "$name", FriendlyName => $name)->json->{sid};
            my $function = $client->with('Idempotency-Key' => "key-$name")->post("$at/Functions", FriendlyName => 'f')->json->{sid};
            my $environment = $client->post("$at/Environments", UniqueName => 'e', DomainSuffix => 'e')->json->{sid};
            $client->post("$at/Environments/$environment/Variables", Key => 'K', Value => 'v');
            my $version = $client->upload("$at/Functions/$function/Versions", ['Path', undef, undef, '/f'],
                ['Visibility', undef, undef, 'public'], ['Content', 'f.js', 'application/javascript', 'exports.handler = 1;']);
            my $build = $client->post("$at/Builds", FunctionVersions => $version->json->{sid})->json->{sid};
            wait_until { $client->get("$at/Builds/$build/Status")->json->{status} eq 'completed' } or die "no Build\n";
            $client->post("$at/Environments/$environment/Deployments", BuildSid => $build);
            $client->post("$at/Builds", FunctionVersions => $version->json->{sid}) for 1 .. 3;
            $owner->do('SELECT serverless.add_log(?, ?, ?, ?) FROM generate_series(1, 1500)', undef, $environment, $function, 'info', 'text');
        }
        return $client;
    };
    my $kept = $fill->(@keep);
    wait_until { !$owner->selectrow_array(q(SELECT count(*) FROM serverless.builds WHERE status = 'building')) } or die "Builds wait\n";
    my $before = rows_of_all($owner);
    cmp_ok $before->{$_}, '>', 0, "the first account has $_" for grep { $_ ne 'signing_keys' && $_ ne 'pins' } sort keys %$before;
    my $gone = $fill->(@go);

    is_deeply [admin("account delete $go[0]", database => $database->name, input => 'no')], [1, "serverless-admin: nothing was deleted\n"],
        'another answer than the SID deletes nothing';
    is $gone->get('/v1/Services')->status, 200, 'and suspends nothing';
    is_done "account delete $go[0]", 'account delete', database => $database->name, input => $go[0];
    is_deeply rows_of_all($owner), { %$before, accounts => 1, credentials => 1 }, 'all that it had is gone, and nothing else';
    is $gone->get('/v1/Services')->status, 401, 'its credential is refused';
    is $kept->get('/v1/Services')->status, 200, 'the other account stays';
    my ($status, $said) = admin("account delete $go[0] --yes", database => $database->name);
    is_deeply [$status, $said], [1, "serverless-admin: there is no account $go[0]\n"], 'there is none any more';
    eval { $owner->do('SELECT serverless.delete_account_step(?)', undef, $keep[0]) };
    like $@, qr/is active: suspend it first/, 'a step refuses an active account';
    $owner->disconnect;
};

subtest 'restoring, as docs/operations/restore.md says' => sub {
    my $database = own_database('dumped');
    my $owner = $database->connect('serverless_owner');
    my @account = $owner->selectrow_array(q(SELECT * FROM serverless.create_account('dumped')));
    $owner->disconnect;
    my $manual = do { local (@ARGV, $/) = "$ENV{SOURCE}/docs/operations/restore.md"; <> };
    my ($commands) = $manual =~ /^((?:    [^\n]+\n)+)/m;
    my $dump = Serverless::Server->logs . '/dump';
    my $name = $database->name . '_restored';
    local $ENV{PGHOST} = $ENV{DATABASE};
    is system("pg_dump -U postgres -Fc -d @{[ $database->name ]} -f $dump"), 0, 'a dump';
    local $ENV{PATH} = "$ENV{SOURCE}/bin:$ENV{PATH}";
    for my $command (split /\n/, $commands) {
        $command =~ s/^ +(?:runuser -u postgres -- )?//;
        local $ENV{PGUSER} = $command =~ /^serverless-admin/ ? 'serverless_owner' : 'postgres';
        local $ENV{PGDATABASE} = $command =~ /^createdb/ ? 'postgres' : $name;
        next if $command =~ / check$/; # it looks for the key file of the machine
        my $run = $command =~ s/\bserverless(?=\s|\z)/$name/gr =~ s/serverless\.dump/$dump/r;
        my $printed = `$run 2>&1`;
        is $?, 0, $command or diag $printed;
    }
    my $restored = Serverless::Server->start('restored', Serverless::Server->database(database => $name) . Serverless::Server->api);
    my $client = Serverless::Client->client(@account)->at($restored->address);
    is $client->get('/v1/Services')->status, 200, 'the account is there, and httpd can use it';
    undef $restored;
    superuser()->do("DROP DATABASE $name WITH (FORCE)");
};

subtest 'grant revoke' => sub {
    my $database = own_database('revoke');
    my $superuser = superuser();
    $superuser->do('DROP ROLE IF EXISTS serverless_other');
    $superuser->do('CREATE ROLE serverless_other LOGIN');
    is_done 'grant serverless_other', 'grant', database => $database->name;
    eval { $superuser->do('DROP ROLE serverless_other') };
    like $@, qr/cannot be dropped because some objects depend on it/, 'the role cannot be dropped';
    is_done 'grant revoke serverless_other', 'grant revoke', database => $database->name;
    is_done 'grant revoke serverless_other', 'once more, for a role without rights', database => $database->name;
    ok $superuser->do('DROP ROLE serverless_other'), 'the role can be dropped';
    is_deeply [admin('grant revoke serverless_other', database => $database->name)],
        [1, "serverless-admin: there is no role serverless_other\n"], 'there is none any more';
    is_done 'grant revoke serverless_httpd', 'httpd\'s role', database => $database->name;
    my $httpd = eval { $database->connect('serverless_httpd')->selectrow_array('SELECT count(*) FROM serverless.services') };
    like $@, qr/permission denied for schema serverless/, 'httpd\'s role has no access any more';
    is +(admin('grant revoke serverless_owner', database => $database->name))[0], 1, 'the owner keeps its rights';
};

subtest 'make uninstall' => sub {
    my $there = File::Temp->newdir;
    my @programs = map { "build/$_" } qw(mod_serverless_functions.so serverless-crypt serverless-runner);
    for my $program (map { "$ENV{SOURCE}/$_" } @programs) { # their content does not matter
        next if -e $program;
        open my $file, '>', $program or die "$program: $!\n";
    }
    my $make = "make -C '$ENV{SOURCE}' --no-print-directory @{[ map { qq(-o $_) } @programs ]} DESTDIR='$there'";
    my $files = sub { sort map { s/^\Q$there\E//r } split /\n/, `find '$there' -type f` };
    my $said = `$make install 2>&1`;
    is $?, 0, 'make install' or diag $said;
    cmp_ok scalar(my @installed = $files->()), '>', 20, 'has installed files';
    is_deeply [grep { m{/serverless_functions\.load$} } $files->()], ['/usr/local/share/mod_serverless_functions/conf/serverless_functions.load'],
        'among them the samples';
    is_deeply logs_in("$there/usr/local/share"), ['${APACHE_LOG_DIR}'], 'whose logs are where Debian\'s httpd has them';
    $said = `$make uninstall 2>&1`;
    is $?, 0, 'make uninstall' or diag $said;
    is_deeply [$files->()], [], 'removes each of them';
    is_deeply [grep { /serverless/ } split /\n/, `find '$there'`], [], 'and the directories of its own';
    `$make uninstall 2>&1`;
    is $?, 0, 'it may be run again';

    # an apxs of another httpd
    open my $apxs, '>', "$there/apxs" or die "apxs: $!\n";
    print $apxs "#!/bin/sh\ncase \$2 in PROGNAME) echo httpd;; logfiledir) echo /var/log/httpd;; SYSCONFDIR) echo /etc/httpd;; *) exec apxs \"\$@\";; esac\n";
    close $apxs;
    chmod 0755, "$there/apxs" or die "chmod: $!\n";
    $said = `$make APXS='$there/apxs' install 2>&1`;
    is $?, 0, 'make install for another httpd' or diag $said;
    is_deeply logs_in("$there/usr/local/share"), ['/var/log/httpd'], 'whose samples have its directory of logs';
    is `grep -rl /etc/apache2 '$there/usr/local/share/mod_serverless_functions/conf'/serverless_*.conf`, '', 'and its directory of configuration';
};

# The directories of the logs that installed samples name.
sub logs_in {
    my ($folder) = @_;
    my %found = map { $_ => 1 } `grep -rhE '^ *(CustomLog|ErrorLog) ' '$folder'` =~ m{Log +"(.*)/[^/"]+"}g;
    return [sort keys %found];
}

done_testing;
