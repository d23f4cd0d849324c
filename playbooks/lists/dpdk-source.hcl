# DPDK and Open vSwitch with it, built from their sources, started and kept by units of
# their own, DPDK at work in it. Nine minutes on two processors; hosts with the same
# packages take the result of the first.

steps "dpdk-source" {
  param "dpdk" {
    type = object({ version = string, urls = list(string), sha256 = string, drivers = optional(list(string), []) })
  }
  param "openvswitch" {
    type = object({ version = string, urls = list(string), sha256 = string, options = optional(list(string), []) })
  }
  param "tools" {
    type    = list(string) # packages that both are built with, by name on this distribution
    default = ["gcc", "libc6-dev", "libcap-ng-dev", "libnuma-dev", "libssl-dev", "make", "meson", "ninja-build", "pkgconf", "python3-pyelftools", "uuid-runtime", "xz-utils"]
  }
  param "packages" {
    type    = list(string) # further ones: such as bring a source
    default = []
  }
  param "results" {
    type    = map(object({ host = string, archive = string, sha256 = string })) # of another host: dpdk, openvswitch
    default = {}
  }
  param "config" {
    type = map(string) # keys of other_config beside dpdk-init
  }
  param "start_options" {
    type    = list(string) # of ovs-ctl(8)
    default = []
  }

  step "package" "tools" {
    names = concat(param.tools, param.packages)
  }

  # What a tarball brings is run by nobody in particular.
  step "user" "builder" {
    user   = "weft-build"
    system = true
  }

  step "directory" "sources" {
    path = "/var/cache/weft-sources"
  }

  step "download" "dpdk" {
    path   = "/var/cache/weft-sources/dpdk-${param.dpdk.version}.tar" # tar(1) sees how it is compressed
    urls   = param.dpdk.urls
    sha256 = param.dpdk.sha256
  }

  step "download" "openvswitch" {
    path   = "/var/cache/weft-sources/openvswitch-${param.openvswitch.version}.tar"
    urls   = param.openvswitch.urls
    sha256 = param.openvswitch.sha256
  }

  step "file_copy" "result" {
    for_each = param.results
    path     = "/var/cache/weft-sources/${each.key}.result"
    host     = each.value.host
    source   = each.value.archive
    sha256   = each.value.sha256
  }

  step "dpdk_build" "dpdk" {
    version  = param.dpdk.version
    source   = step.download.dpdk.path
    sha256   = param.dpdk.sha256
    drivers  = length(param.dpdk.drivers) > 0 ? param.dpdk.drivers : null
    packages = param.tools
    programs = ["bin/dpdk-devbind.py"]
    user     = "weft-build"
    archive  = can(param.results.dpdk) ? "/var/cache/weft-sources/dpdk.result" : null
  }

  step "ovs_build" "openvswitch" {
    version       = param.openvswitch.version
    source        = step.download.openvswitch.path
    sha256        = param.openvswitch.sha256
    dpdk          = step.dpdk_build.dpdk.tree
    options       = param.openvswitch.options
    packages      = param.tools
    user          = "weft-build"
    start_options = param.start_options
    archive       = can(param.results.openvswitch) ? "/var/cache/weft-sources/openvswitch.result" : null
  }

  step "service" "database" {
    unit       = "weft-ovsdb-server"
    running    = true
    enabled    = true
    restart_on = [step.ovs_build.openvswitch]
  }

  step "service" "switch" {
    unit       = "weft-ovs-vswitchd"
    running    = true
    enabled    = true
    restart_on = [step.ovs_build.openvswitch]
  }

  # At the end of the play, and once, ovs-vswitchd restarts, where this asks for it.
  step "ovs_config" "dpdk" {
    other_config = merge({ dpdk-init = "true" }, param.config)
  }
}
