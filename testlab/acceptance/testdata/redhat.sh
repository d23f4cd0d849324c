#!/bin/sh
# Makes a Debian host of the lab pass for one of Red Hat's family: rpm, dnf and
# createrepo_c are Debian's and real, and a package lab-release provides what the
# distribution would (a shell, systemd, compilers), with an os-release that says so.
# Beside it lie a small package of sources and what it needs to be built.
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq -y --no-install-recommends install rpm dnf createrepo-c dnf-plugins-core > /dev/null
mkdir -p /etc/rpm /etc/yum.repos.d /srv/lab-release /usr/src/lab
echo '%_dbpath /var/lib/rpm' > /etc/rpm/macros
printf '[main]\nenabled = false\n' > /etc/dnf/plugins/local.conf
echo 9 > /etc/dnf/vars/releasever
rpm --initdb
build=$(mktemp -d)

cat > $build/lab-release.spec <<S
Name: lab-release
Version: 9
Release: 1
Summary: What the lab has by other ways
License: none
BuildArch: noarch
Provides: /bin/sh, /bin/sed, /usr/bin/python3, /usr/bin/sphinx-build-3
Provides: systemd, systemd-units, shadow-utils, hostname, iproute, module-init-tools, unbound, openssl, python3
Provides: gcc, gcc-c++, make, autoconf, automake, libtool, openssl-devel, python3-devel, desktop-file-utils, groff, graphviz
Provides: checkpolicy, selinux-policy-devel, procps-ng, libcap-ng, libcap-ng-devel, unbound-devel
%description
x
%install
mkdir -p %{buildroot}/usr/lib/lab-release
printf 'ID=lab\nID_LIKE="rhel centos fedora"\nVERSION_ID=9\nPRETTY_NAME="The lab"\n' > %{buildroot}/usr/lib/lab-release/os-release
%files
/usr/lib/lab-release
S
for name in lab-vswitch-devel ethtool; do
  printf 'Name: %s\nVersion: 1\nRelease: 1\nSummary: x\nLicense: none\nBuildArch: noarch\n%%description\nx\n%%install\nmkdir -p %%{buildroot}/usr/share/%s\n%%files\n/usr/share/%s\n' $name $name $name > $build/$name.spec
done
for spec in $build/*.spec; do
  rpmbuild -bb --quiet --define "_topdir $build" --define "_rpmdir /srv/lab-release" $spec > /dev/null
done
createrepo_c -q /srv/lab-release
printf '[lab-release]\nname=lab-release\nbaseurl=file:///srv/lab-release\ngpgcheck=0\n' > /etc/yum.repos.d/lab-release.repo
dnf -q -y install lab-release > /dev/null

# A switch as small as can be, packed as Open vSwitch is.
top=$build/lab-vswitch-1.0
mkdir -p $top/rhel
printf '#!/bin/sh\nexec sleep infinity\n' > $top/lab-vswitchd
printf '[Unit]\nDescription=A switch\n[Service]\nExecStart=/usr/sbin/lab-vswitchd\n[Install]\nWantedBy=multi-user.target\n' > $top/rhel/lab-vswitch.service
cat > $top/rhel/lab-vswitch.spec <<'S'
Name: lab-vswitch
Version: 1.0
Release: %{release_number}%{?dist}
Summary: A switch as small as can be
License: none
BuildArch: noarch
Source: lab-vswitch-1.0.tar.gz
BuildRequires: gcc, make, lab-vswitch-devel
Requires: systemd-units
%bcond_without check
%description
x
%package test
Summary: Its tests
%description test
x
%prep
%setup -q
%build
[ "$(id -u)" != 0 ]
%install
install -D -m 755 lab-vswitchd %{buildroot}/usr/sbin/lab-vswitchd
install -D -m 644 rhel/lab-vswitch.service %{buildroot}/usr/lib/systemd/system/lab-vswitch.service
install -D -m 644 /dev/null %{buildroot}/usr/share/lab-vswitch/test
%check
%if %{with check}
echo "error: the tests of a switch take an hour"
exit 1
%endif
%post
systemctl daemon-reload
%preun
[ $1 -ne 0 ] || systemctl -q disable --now lab-vswitch.service || :
%postun
systemctl daemon-reload
%files
/usr/sbin/lab-vswitchd
/usr/lib/systemd/system/lab-vswitch.service
%files test
/usr/share/lab-vswitch
S
tar -czf /usr/src/lab/lab-vswitch-1.0.tar.gz -C $build lab-vswitch-1.0
rm -rf $build
ln -sfn /usr/lib/lab-release/os-release /etc/os-release
