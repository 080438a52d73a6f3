# A Service with the resources that a suite needs in it: Functions and Assets, their Versions, Builds,
# Environments, Deployments. Everything is made through the API.
#
#   my $project = Serverless::Project->new($api);
#   my $hello = $project->new_deployable(function => 'hello');   # with one Version
#   my $logo = $project->new_deployable(asset => 'logo.png');
#   my $build = $project->completed($hello, $logo);              # a Build of both
#   $project->deploy($project->new_environment('stage'), $build);
#
# Methods return the JSON of the answer and die of an answer other than 201. The methods
# try_... send the same requests and return the answer, whatever its status.
package Serverless::Project;

use strict;
use warnings FATAL => 'all';

use Serverless::Time;

# Kinds ------------------------------------------------------------------------

# The names that differ between Functions and Assets.
my %kinds = (
    function => {
        name => 'Function', one => 'a Function', list => 'Functions', key => 'functions', sid => 'function_sid',
        versions => 'function_versions', content_link => 'function_version_content',
        parameter => 'FunctionVersions', other => 'asset',
    },
    asset => {
        name => 'Asset', one => 'an Asset', list => 'Assets', key => 'assets', sid => 'asset_sid',
        versions => 'asset_versions', parameter => 'AssetVersions', other => 'function',
    },
);

sub kind { $kinds{ $_[0] } }

# The kind of an artifact, or of a Version of one, as the API answered it.
sub kind_of {
    my ($resource) = @_;
    my ($list) = $resource->{url} =~ m{/Services/\w+/(\w+)/};
    return (grep { $_->{list} eq $list } values %kinds)[0];
}

# The Service --------------------------------------------------------------------

my $made = 0; # makes names unique within the suite

# A new Service of this UniqueName or, without one, of a name of its own.
sub new {
    my ($class, $api, $unique_name) = @_;
    my $self = bless { api => $api }, $class;
    $self->{service} = $self->create('/v1/Services',
        UniqueName => $unique_name // sprintf('project-%d-%d', $$, ++$made), FriendlyName => 'Project');
    return $self;
}

# A Service that exists.
sub of_service {
    my ($class, $api, $service) = @_;
    return bless { api => $api, service => $service }, $class;
}

# The same Service through another client, e.g. one of another httpd.
sub by {
    my ($self, $api) = @_;
    return bless { %$self, api => $api }, ref $self;
}

sub api     { $_[0]{api} }
sub service { $_[0]{service} }
sub sid     { $_[0]{service}{sid} }

# The path of the Service, or of something below it, without the host.
sub path { "/v1/Services/$_[0]{service}{sid}" . ($_[1] // '') }

# The path of a resource that the API answered, without the host that it was asked on.
sub path_of {
    my ($self, $resource) = @_;
    return $resource->{url} =~ s{^http://[^/]+}{}r;
}

# These return the answer.
sub fetch  { my ($self, $resource) = @_; $self->{api}->get($self->path_of($resource)) }
sub delete { my ($self, $resource) = @_; $self->{api}->delete($self->path_of($resource)) }

# The JSON of a 201.
sub created {
    my ($reply) = @_;
    $reply->status == 201 or die $reply->status, ': ', $reply->body, "\n";
    return $reply->json;
}

# POSTs a form to any path.
sub create {
    my ($self, $path, @form) = @_;
    return created($self->{api}->post($path, @form));
}

# Functions, Assets and their Versions -----------------------------------------------

# An artifact without a Version.
sub new_artifact {
    my ($self, $kind, $name) = @_;
    return $self->create($self->path("/$kinds{$kind}{list}"), FriendlyName => $name // "/$kind");
}

sub new_function { my ($self, $name) = @_; return $self->new_artifact('function', $name) }
sub new_asset    { my ($self, $name) = @_; return $self->new_artifact('asset', $name) }

# An artifact with one Version, whose path is "/$name" and which is {version} of the result.
sub new_deployable {
    my ($self, $kind, $name, $content) = @_;
    my $artifact = $self->new_artifact($kind, $name);
    $artifact->{version} = $self->new_version(artifact => $artifact, path => "/$name",
        content => $content // "exports.handler = (context, event, done) => done(null, '$name');\n");
    return $artifact;
}

# A Version of the `artifact` given, or of a new artifact of the `kind` given, or of a new
# Function. Without `path`, each Version has a path of its own.
sub try_version {
    my ($self, %with) = @_;
    my $artifact = $with{artifact} || $self->new_artifact($with{kind} || 'function');
    return $self->{api}->upload($self->path_of($artifact) . '/Versions',
        [ Path => undef, undef, $with{path} // '/path-' . ++$made ],
        [ Visibility => undef, undef, $with{visibility} // 'public' ],
        [ Content => 'f.js', $with{type} // 'application/javascript', $with{content} // 'exports.a = 1;' ]);
}

sub new_version { my ($self, %with) = @_; return created($self->try_version(%with)) }

# Builds -------------------------------------------------------------------------

# The form of a Build of these parts: Versions, or artifacts with a {version}, or SIDs of
# Function Versions.
sub parameters {
    return map {
        my $version = ref $_ ? $_->{version} // $_ : undef;
        $version ? (kind_of($version)->{parameter} => $version->{sid}) : (FunctionVersions => $_)
    } @_;
}

sub try_build {
    my ($self, @parts) = @_;
    return $self->{api}->post($self->path('/Builds'), parameters(@parts));
}

sub new_build { my ($self, @parts) = @_; return created($self->try_build(@parts)) }

# The Build once it is no longer `building`.
sub finished {
    my ($self, $build) = @_;
    my $now;
    wait_until { ($now = $self->fetch($build)->json)->{status} ne 'building' }
        or die "$build->{sid} is not finished\n";
    return $now;
}

# A completed Build of these parts.
sub completed {
    my ($self, @parts) = @_;
    my $build = $self->finished($self->new_build(@parts));
    $build->{status} eq 'completed' or die "$build->{sid} failed: $build->{failure_reason}\n";
    return $build;
}

# Environments ---------------------------------------------------------------------

sub new_environment {
    my ($self, $name, $suffix) = @_;
    $name //= 'environment-' . ++$made;
    return $self->create($self->path('/Environments'), UniqueName => $name,
        DomainSuffix => $suffix // 'e' . ++$made);
}

# Deploys a Build, or none, to an Environment.
sub try_deploy {
    my ($self, $environment, $build) = @_;
    return $self->{api}->post($self->path_of($environment) . '/Deployments',
        $build ? (BuildSid => $build->{sid}) : ());
}

sub deploy { my ($self, @to) = @_; return created($self->try_deploy(@to)) }

1;
