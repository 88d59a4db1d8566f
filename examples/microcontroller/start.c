// What an Arm Cortex-M4 does before main: where its stack is, and its floating-point unit switched on.
extern void _start(void);

static void reset(void)
{
    *(volatile unsigned *)0xE000ED88 |= 0xFu << 20;
    _start();
}

__attribute__((section(".vectors"), used))
static const void *const vectors[2] = {(void *)0x20400000, (void *)reset};
