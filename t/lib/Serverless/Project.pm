# A Service and what the suites of single resources need in it, through the API:
#
#   my $project = Serverless::Project->of($api);
#   my $build = $project->completed(map { $project->new_version } 1 .. 3);
#
# What is returned is the JSON of the answer. An answer other than 201 dies.
package Serverless::Project;

use strict;
use warnings FATAL => 'all';

use Serverless::Test qw(wait_until);

# Functions and Assets are made, listed and named alike; what differs is here.
my %kinds = (
    function => {
        name => 'Function', list => 'Functions', key => 'functions', sid => 'function_sid',
        versions => 'function_versions', content_link => 'function_version_content',
        parameter => 'FunctionVersions', other => 'asset',
    },
    asset => {
        name => 'Asset', list => 'Assets', key => 'assets', sid => 'asset_sid',
        versions => 'asset_versions', parameter => 'AssetVersions', other => 'function',
    },
);

sub kind { $kinds{ $_[0] } }

# That of something the API answered: an artifact, or a Version of one.
sub kind_of {
    my ($resource) = @_;
    my ($list) = $resource->{url} =~ m{/Services/\w+/(\w+)/};
    return (grep { $_->{list} eq $list } values %kinds)[0];
}

my $made = 0;

sub of {
    my ($class, $api) = @_;
    my $name = sprintf 'project-%d-%d', $$, ++$made;
    my $self = bless { api => $api }, $class;
    $self->{service} = $self->create('/v1/Services', UniqueName => $name, FriendlyName => 'Project');
    return $self;
}

sub service { $_[0]{service} }
sub sid     { $_[0]{service}{sid} }

# The address of the Service, without the host.
sub path { "/v1/Services/$_[0]{service}{sid}" }

sub create {
    my ($self, $path, @form) = @_;
    my $reply = $self->{api}->post($path, @form);
    $reply->status == 201 or die "POST $path: " . $reply->body;
    return $reply->json;
}

sub new_artifact {
    my ($self, $kind, $name) = @_;
    return $self->create($self->path . "/$kinds{$kind}{list}", FriendlyName => $name // "/$kind");
}

sub new_function { my ($self, $name) = @_; return $self->new_artifact('function', $name) }
sub new_asset    { my ($self, $name) = @_; return $self->new_artifact('asset', $name) }

# A Version of a Function of its own or, if given, of that `artifact`; each with another path.
sub new_version {
    my ($self, %with) = @_;
    my $artifact = $with{artifact} || $self->new_artifact($with{kind} || 'function');
    my $reply = $self->{api}->upload("$artifact->{url}/Versions",
        [ Path => undef, undef, $with{path} // '/path-' . ++$made ],
        [ Visibility => undef, undef, $with{visibility} // 'public' ],
        [ Content => 'f.js', $with{type} // 'application/javascript', $with{content} // 'exports.a = 1;' ]);
    $reply->status == 201 or die 'no Version: ' . $reply->body;
    return $reply->json;
}

# What a Build is made of.
sub parameters { map { (kind_of($_)->{parameter} => $_->{sid}) } @_ }

sub new_build {
    my ($self, @versions) = @_;
    return $self->create($self->path . '/Builds', parameters(@versions));
}

sub new_environment {
    my ($self, $name, $suffix) = @_;
    $name //= 'environment-' . ++$made;
    return $self->create($self->path . '/Environments', UniqueName => $name,
        DomainSuffix => $suffix // 'e' . ++$made);
}

# Deploys a Build, or none.
sub deploy {
    my ($self, $environment, $build) = @_;
    return $self->create("$environment->{url}/Deployments", $build ? (BuildSid => $build->{sid}) : ());
}

# The Build once it is no longer building.
sub finished {
    my ($self, $build) = @_;
    wait_until { $self->{api}->get("$build->{url}/Status")->json->{status} ne 'building' }
        or die "$build->{sid} is not finished\n";
    return $self->{api}->get($build->{url})->json;
}

# A completed Build of these Versions.
sub completed {
    my ($self, @versions) = @_;
    my $build = $self->finished($self->new_build(@versions));
    $build->{status} eq 'completed' or die "$build->{sid} failed: $build->{failure_reason}\n";
    return $build;
}

1;
