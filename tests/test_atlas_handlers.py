from __future__ import annotations

from pathlib import Path

from kfoot.atlas.build.base import Builder, Context
from kfoot.atlas.build.csource import calls, fields, number, string, structs
from kfoot.atlas.build.devices import Devices
from kfoot.atlas.build.handlers import Handlers
from kfoot.atlas.build.sockets import Sockets
from kfoot.atlas.schema import Row


def build(rules: Builder, tree: dict[str, str]) -> dict[str, list[Row]]:
    for path in sorted(tree, reverse=True):  # The order must not matter.
        if rules.wants(path):
            facts = rules.scan(path, tree[path].encode())
            if facts is not None:
                rules.take(path, facts)
    context = Context(release="6.1", paths=sorted(tree), tree=Path("/nowhere"))
    context.area_of = lambda path: path.split("/")[0]
    return {name: list(rows) for name, rows in rules.finish(context).items()}


def test_an_argument_list_is_split_at_its_own_commas():
    text = 'f(a, (b, c), "x, )", {d, e}); not_f(1); f (2)'
    assert [arguments for _, arguments, _ in calls(text, ["f"])] == [
        ["a", "(b, c)", '"x, )"', "{d, e}"],
        ["2"],
    ]


def test_an_initialiser_gives_its_fields():
    text = "static const struct thing __ro one[] = {\n.name = NAME,\n.size = 2 + B,\n};"
    [(variable, parts, _)] = structs(text, "thing")
    known = {"NAME": '"a" "b"', "B": "0x10"}
    told = fields(parts)
    assert variable == "one"
    assert string(told["name"], known) == "ab"
    assert number(told["size"], known) == 18
    assert number("MINOR(x)", known) is None


def test_a_bracket_that_never_closes_ends_the_search():
    assert list(calls("f(" + "(" * 100_000, ["f"])) == []


def test_filesystems_and_anonymous_inodes_have_the_file_that_names_them():
    rows = build(
        Handlers(),
        {
            "fs/ext4/super.c": 'static struct file_system_type e2 = {\n.name = "ext2",};\n'
            'static struct file_system_type e4 = {\n\t.owner = THIS_MODULE,\n\t.name = "ext4",\n};',
            "fs/ext2/super.c": 'static struct file_system_type t = {\n.name = "ext2",};',
            "fs/eventfd.c": 'file = anon_inode_getfile("[eventfd]", &eventfd_fops, ctx, flags);',
            "fs/pidfs.c": 'return dynamic_dname(buffer, buflen, "anon_inode:[pidfd]");',
            "virt/kvm/kvm_main.c": 'snprintf(name, sizeof(name), "kvm-vcpu:%d", vcpu->vcpu_id);\n'
            "return anon_inode_getfd(name, &kvm_vcpu_fops, vcpu, O_RDWR);",
            "tools/x.c": 'static struct file_system_type t = {\n.name = "toolfs",};',
        },
    )
    assert [row[:2] for row in rows["filesystems"]] == [
        ("ext2", "fs/ext2/super.c"),
        ("ext4", "fs/ext4/super.c"),
    ]
    assert [row[:2] for row in rows["anon_inodes"]] == [
        ("[eventfd]", "fs/eventfd.c"),
        ("[pidfd]", "fs/pidfs.c"),
        ("kvm-vcpu:", "virt/kvm/kvm_main.c"),
    ]


def test_a_socket_is_where_its_protocol_is():
    rows = build(
        Sockets(),
        {
            "net/ipv4/af_inet.c": """
static const struct net_proto_family inet_family_ops = { .family = PF_INET, };
static struct inet_protosw inetsw_array[] =
{
	{
		.type =       SOCK_STREAM,
		.protocol =   IPPROTO_TCP,
		.prot =       &tcp_prot,
		.ops =        &inet_stream_ops,
		.flags =      INET_PROTOSW_PERMANENT | INET_PROTOSW_ICSK,
	},
	{ .type = SOCK_RAW, .protocol = IPPROTO_IP, .prot = &raw_prot, .ops = &inet_sockraw_ops },
};
	(void)sock_register(&inet_family_ops);
""",
            "net/ipv4/tcp_ipv4.c": 'struct proto tcp_prot = {\n.name = "TCP",\n};',
            "net/ipv4/raw.c": 'struct proto raw_prot = {\n.name = "RAW",\n};',
            "net/ipv6/tcp_ipv6.c": 'struct proto tcpv6_prot = {\n.name = "TCPv6",\n};\n'
            "static struct inet_protosw tcpv6_protosw = {\n.type = SOCK_STREAM,\n"
            ".protocol = IPPROTO_TCP,\n.prot = &tcpv6_prot,\n.ops = &inet6_stream_ops,\n};",
            "net/core/rtnetlink.c": "sk = netlink_kernel_create(net, NETLINK_ROUTE, &cfg);",
            "net/bluetooth/af_bluetooth.c": "static const struct net_proto_family bt_family_ops = "
            "{ .family = PF_BLUETOOTH };\nerr = sock_register(&bt_family_ops);",
            "net/bluetooth/a2.c": "static const struct net_proto_family sco_ops = "
            "{ .family = PF_BLUETOOTH };\nerr = bt_sock_register(BTPROTO_SCO, &sco_ops);",
        },
    )
    found = {row[:3]: row[3] for row in rows["sockets"]}
    assert found["AF_INET", "SOCK_STREAM", "TCP"] == "net/ipv4/tcp_ipv4.c"
    assert found["AF_INET", "SOCK_STREAM", None] == "net/ipv4/tcp_ipv4.c", "protocol 0"
    assert found["AF_INET6", "SOCK_STREAM", "TCP"] == "net/ipv6/tcp_ipv6.c"
    assert found["AF_INET", "SOCK_RAW", None] == "net/ipv4/raw.c"
    assert found["AF_INET", None, None] == "net/ipv4/af_inet.c"
    assert found["AF_NETLINK", None, "NETLINK_ROUTE"] == "net/core/rtnetlink.c"
    assert found["AF_BLUETOOTH", None, None] == "net/bluetooth/af_bluetooth.c"
    assert found["AF_BLUETOOTH", None, "BTPROTO_SCO"] == "net/bluetooth/a2.c"


def test_a_device_has_its_names_and_numbers():
    rows = build(
        Devices(),
        {
            "include/uapi/linux/major.h": "#define MEM_MAJOR\t1\n#define TTYAUX_MAJOR 5\n"
            "#define TTY_MAJOR\t4\n#define SCSI_DISK0_MAJOR\t8\n",
            "include/linux/miscdevice.h": "#define KVM_MINOR\t232\n#define FUSE_MINOR 229\n"
            "#define MISC_DYNAMIC_MINOR\t255\n",
            "drivers/gpio/gpiolib.h": '#define GPIOCHIP_NAME\t"gpiochip"\n',
            "drivers/gpio/gpiolib.c": "ret = alloc_chrdev_region(&gpio_devt, 0, 9, GPIOCHIP_NAME);",
            "drivers/spi/spidev.c": "#define SPIDEV_MAJOR\t153\t/* assigned */\n"
            'status = register_chrdev(SPIDEV_MAJOR, "spi", &spidev_fops);\n'
            'spidev_class = class_create(THIS_MODULE, "spidev");',
            "drivers/char/mem.c": "static const struct memdev {\n\tumode_t mode;\n} devlist[] = {\n"
            ' [3] = { "null", 0666, &null_fops, 0 },\n [8] = { "random", 0666, &random_fops, 0 },'
            "\n};\nstatic const struct file_operations null_fops = { .read = x };",
            "drivers/char/random.c": "const struct file_operations random_fops = {\n};",
            "drivers/tty/tty_io.c": "register_chrdev_region(MKDEV(TTYAUX_MAJOR, 0), 1, "
            '"/dev/tty") < 0)',
            "drivers/tty/serial/8250/8250_core.c": "struct uart_driver serial8250_reg = {\n"
            '.driver_name = "serial",\n.dev_name = "ttyS",\n.major = TTY_MAJOR,\n.minor = 64,\n};',
            "drivers/tty/serial/aaa.c": "struct uart_driver u = {\n"
            '.driver_name = "serial",\n.dev_name = "ttyS",\n.major = TTY_MAJOR,\n.minor = 64,\n};',
            "drivers/tty/pty.c": 'ptm_driver->driver_name = "pty_master";\n'
            'ptm_driver->name = "ptm";',
            "virt/kvm/kvm_main.c": "static struct miscdevice kvm_dev = {\n\tKVM_MINOR,\n"
            '\t"kvm",\n\t&kvm_chardev_ops,\n};',
            "fs/fuse/dev.c": "static struct miscdevice fuse_miscdevice = {\n.minor = FUSE_MINOR,\n"
            '.name = "fuse",\n};',
            "drivers/scsi/sd.c": "static int sd_major(int i)\n{\n\treturn SCSI_DISK0_MAJOR;\n}\n"
            'if (register_blkdev(sd_major(i), "sd"))',
            "drivers/md/dm.c": "static const char *_name = DM_NAME;\n"
            "static unsigned int _major = 0;\nr = register_blkdev(_major, _name);",
            "include/linux/device-mapper.h": '#define DM_NAME "device-mapper"\n',
        },
    )
    found = {row[:4]: row[4] for row in rows["devices"]}
    assert found["spi", "char", 153, None] == "drivers/spi/spidev.c"
    assert found["spidev", "char", None, None] == "drivers/spi/spidev.c"
    assert found["null", "char", 1, 3] == "drivers/char/mem.c"
    assert found["random", "char", 1, 8] == "drivers/char/random.c"
    assert found["tty", "char", 5, 0] == "drivers/tty/tty_io.c"
    assert found["ttyS", "char", 4, 64] == "drivers/tty/serial/8250/8250_core.c"
    assert found["ptm", "char", None, None] == "drivers/tty/pty.c"
    assert found["kvm", "char", 10, 232] == "virt/kvm/kvm_main.c"
    assert found["fuse", "char", 10, 229] == "fs/fuse/dev.c"
    assert found["sd", "block", 8, None] == "drivers/scsi/sd.c"
    assert found["device-mapper", "block", None, None] == "drivers/md/dm.c"
    assert found["gpiochip", "char", None, None] == "drivers/gpio/gpiolib.c"
