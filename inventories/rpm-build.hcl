# A host for scenario S5, playbooks/ovs-rpm-build.hcl. The lab has no root of Red
# Hat's: the host is Debian's with rpm and dnf, and what a distribution would bring
# provides a package lab-release (testlab/acceptance/testdata/redhat.sh, run on the
# host first).

site = "lab"

lab "rpm-build" {
  repository = ["rpm", "dnf", "createrepo-c", "dnf-plugins-core", "ethtool"]

  network "management" {
    cidr   = "10.127.51.0/24"
    access = true
  }
}

host "rpm1" {
  address = "10.127.51.2"
  roles   = ["builder"]
  vars = {
    tools    = ["lab-release"] # provides them
    tarball  = "/usr/src/lab/lab-vswitch-1.0.tar.gz"
    spec     = "rhel/lab-vswitch.spec"
    name     = "lab-vswitch"
    packages = ["lab-vswitch", "lab-vswitch-test"]
    service  = "lab-vswitch"
    defines  = { release_number = "2" }
  }

  nic "eth0" {
    network = "management"
    address = "10.127.51.2/24"
  }
}

host "deb1" {
  address = "10.127.51.3"

  nic "eth0" {
    network = "management"
    address = "10.127.51.3/24"
  }
}
